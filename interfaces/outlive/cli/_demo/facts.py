"""What the demo's report is made of."""

from __future__ import annotations

import msgspec


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should hold, whether it did, and by what figures."""

    name: str
    holds: bool
    says: str


class KillFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A kill, in the report."""

    pid: int
    signal: str
    in_flight: str
    tasks: tuple[int, ...]
    fetched_again: tuple[str, ...]  # pages that were fetched, and not recorded when it died
    next_pid: int | None
    silent_ms: int | None  # None: the run waited for a person, and was not taken up


class TaskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A task, in the report."""

    number: int
    task_id: str
    status: str
    pages: int
    attempts: int
