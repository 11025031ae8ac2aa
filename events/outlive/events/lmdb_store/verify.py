"""Is a log what was written? The answer, and the process that finds it out.

LMDB trusts its file: reading one with flipped bits can stop the process, with SIGSEGV, SIGBUS
or an assertion. So whatever is found out is found out in a child, and its death is an answer
too. Before LMDB touches the file there, its pages are checked from outside (structure.py);
then the records and tables are walked over (walk.py). Both together take the child 3 to 4 s
for a million events.

That the child is a process of its own has another use: a process that owns the log, or reads
it, may verify it as well, although it can have the environment open only once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events.codec import CODEC
from outlive.events.errors import CorruptLog, LogError, LogFailed, LogNotFound, NewerFormat
from outlive.events.ids import Position
from outlive.events.lmdb_store.broken import Broken
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.opened import Opened
from outlive.events.lmdb_store.reader import open_folder
from outlive.events.lmdb_store.structure import named, structure_faults
from outlive.events.lmdb_store.walk import ExpectedHead, Walk

_PROGRAM: Final = "from outlive.events.lmdb_store.verify import answer; answer()"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` has found.

    Of a bad log the counts tell how far the check came: what is before `position` is in order.
    """

    status: Literal["ok", "ok with gaps", "bad"]
    reason: str = ""  # why it is bad
    position: Position | None = None  # where it is bad, if it is so at a record
    records: int = 0
    events: int = 0
    gaps: int = 0
    dropped_events: int = 0  # those that compaction dropped: the gaps tell
    streams: int = 0
    head: Position = Position(0)
    head_hash: str = ""  # hex; of the record at `head`
    structure_checked: bool = False  # LMDB's pages; cannot be while an owner keeps on writing

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.status != "bad"


class _Unreadable(msgspec.Struct, frozen=True, tag=True):
    """The child could not look into the log, which does not mean that it is damaged."""

    message: str
    newer: tuple[int, int] | None = None  # the format found, and the one known


class _Found(msgspec.Struct, frozen=True, tag=True):
    verification: Verification


_Answer: TypeAlias = _Found | _Unreadable


def verify(
    path: str | os.PathLike[str], *, expected_head: tuple[int, str] | None = None
) -> Verification:
    """Find out whether a log is what was written. Blocks: 3 to 4 s for a million events.

    Checked are LMDB's pages, then that positions have no holes, the chain of hashes over all
    content, versions and links of each stream, epochs, gaps, that the tables say the same as the
    records, and the checksums of what no record tells of. Not checked is whether this release
    knows the events.

    Works beside an owner, in its process too, up to the head as of the end of the check. No
    snapshot is kept for long. Only the pages need an owner that pauses for a moment, see
    `structure_checked`.

    The chain of hashes proves tampering only against a head that was kept elsewhere: whoever
    can write the file can compute a new chain. A gap proves nothing of what it replaced.

    Args:
        path: the log's folder.
        expected_head: `head` and `head_hash` of an earlier check, kept elsewhere. The log is
            bad unless the record there has this hash, also if it has been compacted since.

    Raises:
        LogNotFound: there is no log in the folder.
        NewerFormat: a later release wrote it.
        LogFailed: its files cannot be read.
    """
    folder = Folder(path)
    arguments = [str(folder.path)]
    if expected_head is not None:
        _head_of(*expected_head)
        arguments += [str(expected_head[0]), expected_head[1]]
    try:
        if folder.marker() is None:
            raise LogNotFound(str(folder.path))
    except CorruptLog as error:
        return Verification(status="bad", reason=str(error))
    child = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return Verification(status="bad", reason=f"reading it stops the process ({name})")
    if child.returncode:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LogFailed(f"the log in {str(folder.path)!r} could not be checked: {last}")
    answered: _Answer = msgspec.json.decode(child.stdout, type=_Answer)
    if isinstance(answered, _Found):
        return answered.verification
    if answered.newer is not None:
        raise NewerFormat(answered.message, *answered.newer)
    raise LogFailed(answered.message)


def answer() -> None:
    """Verify the log that the command line names, in this process, and print the answer."""
    path, *head = sys.argv[1:]
    expected = _head_of(int(head[0]), head[1]) if head else None
    found: _Answer
    try:
        found = _Found(verify_here(path, expected))
    except NewerFormat as error:
        found = _Unreadable(error.what, (error.found, error.known))
    except LogError as error:
        found = _Unreadable(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found))


def verify_here(path: str | os.PathLike[str], expected: ExpectedHead | None = None) -> Verification:
    """Verify a log in this process, which may be stopped by it.

    Raises:
        LogError: but CorruptLog, which is an answer.
    """
    try:
        folder = Folder(path)
        folder.marker()
        faults = structure_faults(folder.data_file)
        if faults:
            reason = f"{folder.data_file.name}: {named(faults)}"
            return Verification(status="bad", reason=reason, structure_checked=True)
        opened = open_folder(path, CODEC, readonly=True, looked_at=True)
    except CorruptLog as error:
        return Verification(status="bad", reason=str(error))
    try:
        return _walked(opened, expected, structure_checked=faults is not None)
    finally:
        opened.reading.close()


def _walked(
    opened: Opened, expected: ExpectedHead | None, *, structure_checked: bool
) -> Verification:
    walk = Walk(opened.tables, expected)
    bad: Broken | None = None
    try:
        while opened.reading.within(walk.part):
            pass
    except Broken as error:
        bad = error
    except CorruptLog as error:
        bad = Broken(None, str(error))
    status: Literal["ok", "ok with gaps", "bad"] = "ok with gaps" if walk.gaps else "ok"
    return Verification(
        status="bad" if bad else status,
        reason=bad.reason if bad else "",
        position=Position(bad.position) if bad and bad.position else None,
        records=walk.records,
        events=walk.events,
        gaps=walk.gaps,
        dropped_events=walk.dropped_events,
        streams=walk.streams,
        head=Position(walk.position),
        head_hash=walk.hash.hex(),
        structure_checked=structure_checked,
    )


def _head_of(position: int, hash: str) -> ExpectedHead:
    try:
        head = position, bytes.fromhex(hash)
    except ValueError:
        head = 0, b""
    if position < 1 or len(head[1]) != 32:
        raise ValueError(f"a head is a position from 1 and 64 hex digits, not {position}, {hash!r}")
    return head
