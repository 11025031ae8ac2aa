"""Looks into logs that may stop the process that reads them, each in a process of its own.

    python -m tests.events.examiner

Reads lines, the path of a log each; forks; and prints a line of JSON for each: what `verify`
finds, or how the process died. Of a log that is in order, everything that can be read of it is
told as well, as digests.
"""

from __future__ import annotations

import os
import signal
import sys
from hashlib import blake2b
from pathlib import Path

import msgspec

from outlive.events import LmdbReader, LogError, Position, Verification
from outlive.events.lmdb_store.verify import verify_here
from tests.events.lmdb_files import rows


class Examined(msgspec.Struct, kw_only=True):
    """What became of a log."""

    died: str = ""
    refused: str = ""
    verification: Verification | None = None
    read: dict[str, str] = {}

    @property
    def detected(self) -> bool:
        return bool(self.refused) or (self.verification is not None and not self.verification.ok)


def examine(path: Path) -> Examined:
    try:
        found = verify_here(path)
    except LogError as error:
        return Examined(refused=str(error))
    if not found.ok:
        return Examined(verification=found)
    return Examined(verification=found, read=everything(path))


def everything(path: Path) -> dict[str, str]:
    """Digests of all that a reader is given, and of the rows of each table."""
    found: dict[str, object] = {}
    log = LmdbReader(path)
    records, position = 0, Position(0)
    streams = dict.fromkeys(stream for stream, _ in log.open_entries())
    while page := log.read_all(after=position, limit=100):
        records += len(page)
        position = page[-1].position
        streams |= dict.fromkeys(record.stream for record in page)
        found[f"records to {position}"] = page
    for stream in streams:
        found[f"stream {stream}"] = (log.version(stream), log.read(stream, limit=10_000))
    found["open entries"] = log.open_entries()
    found["head"] = (log.log_id, log.head)
    log.close()
    for table, stored in rows(path).items():
        found[f"rows of {table}"] = stored
    return {name: blake2b(repr(one).encode()).hexdigest()[:16] for name, one in found.items()}


def main() -> None:
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
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
