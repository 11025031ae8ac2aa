"""Looks into logs that may stop the process that reads them, each in a process of its own.

    python -m tests.events.examiner

Reads lines, the path of a log each; forks; and prints a line of JSON for each: how the process
died, or what `verify` finds, and what is read by a reader, a visitor and an owner, as digests.
None of them is told what another one found. The owner also writes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from outlive.events import (
    LmdbLog,
    LmdbReader,
    LmdbVisitor,
    LogError,
    OpenEntry,
    Position,
    Record,
    StreamId,
    Verification,
    run_stream,
)
from outlive.events.lmdb_store.verify import verify_here
from outlive.testing.log_contract.filling import delta
from tests.events.lmdb_files import rows

T = TypeVar("T", LmdbReader, LmdbVisitor, LmdbLog)

Read: TypeAlias = dict[str, str]
"""Digests by what was read; of what was refused, the error instead."""

COMMANDS = [f"command {number}" for number in range(40)]
"""Those that a visitor asks for."""
REFUSED = "refused: "


class Examined(msgspec.Struct, kw_only=True):
    """What became of a log."""

    died: str = ""
    verification: Verification | None = None
    verify_refused: str = ""
    reader: Read = {}
    visitor: Read = {}
    owner: Read = {}
    stored: Read = {}  # the rows of each table, where `verify` has found nothing

    @property
    def detected(self) -> bool:
        """Whether `verify` has found that something is wrong."""
        return self.verification is None or not self.verification.ok


def examine(path: Path) -> Examined:
    found = Examined(reader=_opened(lambda: LmdbReader(path), read_by_all))
    try:
        found.verification = verify_here(path)
    except LogError as error:
        found.verify_refused = str(error)
    if not found.detected:
        found.stored = {name: _digest(table) for name, table in rows(path).items()}
    found.visitor = _opened(lambda: LmdbVisitor(path), read_by_visitor)
    found.owner = _opened(lambda: LmdbLog(path), read_and_written)
    return found


def _opened(open_log: Callable[[], T], read: Callable[[T], Read]) -> Read:
    try:
        log = open_log()
    except LogError as error:
        return {"opened": REFUSED + str(error)}
    try:
        return read(log)
    finally:
        log.close()


def read_by_all(log: LmdbReader | LmdbVisitor | LmdbLog) -> Read:
    """All that a reader is given."""
    found: Read = {}
    streams: dict[StreamId, None] = {}
    last = Position(0)

    def page() -> list[Record]:
        nonlocal last
        records = log.read_all(after=last, limit=20)
        streams.update(dict.fromkeys(record.stream for record in records))
        last = records[-1].position if records else log.head
        return records

    def entries() -> list[tuple[StreamId, OpenEntry]]:
        entries = log.open_entries()
        streams.update(dict.fromkeys(stream for stream, _ in entries))
        return entries

    _read(found, "head", lambda: (log.log_id, log.head))
    _read(found, "open entries", entries)
    _read(found, "submitted", log.submitted)
    while last < log.head and _read(found, f"records after {last}", page):
        continue
    for stream in streams:
        _read(found, f"version of {stream}", partial(log.version, stream))
        _read(found, f"entry of {stream}", partial(log.open_entry, stream))
        _read(found, f"snapshot of {stream}", partial(log.snapshot, stream))
        _read(found, f"events of {stream}", partial(log.read, stream, limit=10_000))
    return found


def read_by_visitor(log: LmdbVisitor) -> Read:
    """What became of the commands."""
    found: Read = {}
    for name in COMMANDS:
        _read(found, name, partial(_command, log, name))
    return found


def _command(log: LmdbVisitor, name: str) -> tuple[bool, bytes | None]:
    return log.waits(name), log.reply(name)


def read_and_written(log: LmdbLog) -> Read:
    """All that a reader is given; then something is appended, and a command answered."""
    found = read_by_all(log)
    for stream in (run_stream("a"), run_stream("after the damage")):
        _read(found, f"append to {stream}", partial(_append, log, stream))
    return found


def _append(log: LmdbLog, stream: StreamId) -> bool:
    version = log.version(stream)
    commit = log.append(
        stream,
        delta("more"),
        expected_version=version,
        command_id=COMMANDS[0],
        reply=b"done",
    )
    return commit.result(20).last_version == version + 1


def _read(found: Read, name: str, read: Callable[[], object]) -> bool:
    """Return whether it was given."""
    try:
        found[name] = _digest(read())
    except LogError as error:
        found[name] = f"{REFUSED}{error}"
        return False
    return True


def _digest(value: object) -> str:
    return blake2b(repr(value).encode()).hexdigest()[:16]


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What is logged is no answer.
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, msgspec.json.encode(examine(Path(line.rstrip("\n")))))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            died = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            answer = msgspec.json.encode(Examined(died=died))
        answers.write(answer + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
