"""Who keeps the data file from using its pages again.

A reader's snapshot keeps all pages that were in use at its commit and at every later one. Our
own reads leave theirs before they decode; what stays is a reader that was stopped in the
middle, one that was killed there (its slot in LMDB's table stays until somebody looks), or a
program that reads with LMDB itself. Until it ends, the file grows with each commit.

So the writer looks now and then, while it commits: it frees the slots of the dead, and says who
among the living is far behind, once for each snapshot.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple

import lmdb

from outlive.events.clock import Clock, SystemClock
from outlive.events.logger import get_logger

LOOK_AFTER_S: Final = 5.0
LONG_COMMITS: Final = 10_000
LONG_S: Final = 60.0

_NS: Final = 1_000_000_000
_log = get_logger()


class Reader(NamedTuple):
    """A snapshot that is being read: whose it is, and of which commit."""

    pid: int
    thread: str
    commit: int


class ReaderWatch:
    """Looks at the table of readers of an environment that this process has open."""

    def __init__(self, env: lmdb.Environment, clock: Clock | None = None) -> None:
        self._env = env
        self._clock = clock or SystemClock()
        self._seen_ns: dict[Reader, int] = {}
        self._told: set[Reader] = set()
        self._look_at_ns = 0

    def after_commit(self) -> None:
        """Look, if the last time was `LOOK_AFTER_S` ago. For the writer: raises nothing."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + int(LOOK_AFTER_S * _NS)
            with suppress(Exception):  # A log that cannot be looked after is written all the same.
                self.look()

    def look(self) -> None:
        """Free the slots of dead processes, and log `long_reader` for who is far behind.

        That is `LONG_COMMITS` commits, or one commit or more for `LONG_S` seconds.
        """
        self._env.reader_check()
        now_ns, last = self._clock.monotonic_ns(), self._env.info()["last_txnid"]
        behind = {reader for reader in readers(self._env) if reader.commit < last}
        self._seen_ns = {reader: self._seen_ns.get(reader, now_ns) for reader in behind}
        self._told &= behind
        for reader in sorted(behind - self._told):
            commits, held_ns = last - reader.commit, now_ns - self._seen_ns[reader]
            if commits >= LONG_COMMITS or held_ns >= LONG_S * _NS:
                self._told.add(reader)
                _log.warning(
                    "long_reader", pid=reader.pid, commits=commits, held_ms=held_ns // 1_000_000
                )


def readers(env: lmdb.Environment) -> list[Reader]:
    """Return the snapshots that are being read now, in whatever process."""
    found: list[Reader] = []
    for line in env.readers().splitlines():
        words = line.split()
        # LMDB writes a table for people; a slot that is kept for later has no transaction.
        if len(words) == 3 and words[0].isdigit() and words[2].isdigit():
            found.append(Reader(int(words[0]), words[1], int(words[2])))
    return found
