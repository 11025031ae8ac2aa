"""When a heartbeat is due: its cron expression, interval or instant, within its bounds. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol

from outlive.actors.cron import Cron
from outlive.events import HeartbeatSettings

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Instants(Protocol):
    """Instants in nanoseconds, without bounds."""

    def next(self, after_ns: int) -> int | None: ...
    def last(self, until_ns: int) -> int | None: ...
    def count(self, first_ns: int, last_ns: int) -> int: ...


class Schedule:
    """The instants at which a heartbeat is due, in nanoseconds since 1970."""

    def __init__(self, settings: HeartbeatSettings, anchor_ns: int) -> None:
        self._instants = _instants(settings, anchor_ns)
        self._first_ns = settings.starts_at_ns
        self._last_ns = settings.ends_at_ns

    def next(self, after_ns: int) -> int | None:
        """Return the first instant later than `after_ns`; None if there is no more."""
        if self._first_ns is not None:
            after_ns = max(after_ns, self._first_ns - 1)
        due_ns = self._instants.next(after_ns)
        over = due_ns is None or (self._last_ns is not None and due_ns > self._last_ns)
        return None if over else due_ns

    def last(self, until_ns: int) -> int | None:
        """Return the last instant that is not later than `until_ns`; None if there was none."""
        if self._last_ns is not None:
            until_ns = min(until_ns, self._last_ns)
        due_ns = self._instants.last(until_ns)
        early = due_ns is None or (self._first_ns is not None and due_ns < self._first_ns)
        return None if early else due_ns

    def count(self, first_ns: int, last_ns: int) -> int:
        """Return how many instants there are from `first_ns` to `last_ns`, both within bounds."""
        return self._instants.count(first_ns, last_ns)


def _instants(settings: HeartbeatSettings, anchor_ns: int) -> _Instants:
    if settings.cron:
        return _by_cron(settings.cron, settings.timezone)
    if settings.every_ns:
        return _Every(settings.every_ns, anchor_ns)
    assert settings.at_ns is not None, "a heartbeat has a schedule"
    return _At(settings.at_ns)


@lru_cache(maxsize=1_000)
def cron_of(expression: str, timezone: str) -> Cron:
    """Return the schedule. Raises InvalidCron."""
    return Cron(expression, timezone)


class _ByCron:
    """Many heartbeats have the same expression, and ask at about the same time."""

    def __init__(self, cron: Cron) -> None:
        self._cron = cron
        self._known: tuple[int, int | None] = (0, 0)  # none is due between these

    def next(self, after_ns: int) -> int | None:
        from_ns, known_ns = self._known
        if from_ns <= after_ns and (known_ns is None or after_ns < known_ns):
            return known_ns
        due = self._cron.next(_instant(after_ns))
        due_ns = None if due is None else _nanoseconds(due)
        self._known = (after_ns, due_ns)
        return due_ns

    def last(self, until_ns: int) -> int | None:
        due = self._cron.previous(_instant(until_ns) + _MICROSECOND)
        return None if due is None else _nanoseconds(due)

    def count(self, first_ns: int, last_ns: int) -> int:
        return self._cron.count(_instant(first_ns), _instant(last_ns) + _MICROSECOND)


@lru_cache(maxsize=1_000)
def _by_cron(expression: str, timezone: str) -> _ByCron:
    return _ByCron(cron_of(expression, timezone))


class _Every:
    def __init__(self, every_ns: int, anchor_ns: int) -> None:
        self._every_ns = every_ns
        self._anchor_ns = anchor_ns

    def next(self, after_ns: int) -> int | None:
        rounds = max((after_ns - self._anchor_ns) // self._every_ns, 0) + 1
        return self._anchor_ns + rounds * self._every_ns

    def last(self, until_ns: int) -> int | None:
        rounds = (until_ns - self._anchor_ns) // self._every_ns
        return self._anchor_ns + rounds * self._every_ns if rounds > 0 else None

    def count(self, first_ns: int, last_ns: int) -> int:
        return (last_ns - first_ns) // self._every_ns + 1


class _At:
    def __init__(self, at_ns: int) -> None:
        self._at_ns = at_ns

    def next(self, after_ns: int) -> int | None:
        return self._at_ns if self._at_ns > after_ns else None

    def last(self, until_ns: int) -> int | None:
        return self._at_ns if self._at_ns <= until_ns else None

    def count(self, first_ns: int, last_ns: int) -> int:
        return 1 if first_ns <= self._at_ns <= last_ns else 0


def anchor_of(settings: HeartbeatSettings, now_ns: int) -> int:
    """Return from where an interval is counted: it is due first an interval from now.

    Or when it starts, if that is said.
    """
    if settings.starts_at_ns is not None:
        return settings.starts_at_ns - settings.every_ns
    return now_ns


def spread(heartbeat_id: str, jitter_ns: int) -> int:
    """Return how much later than due a heartbeat fires: the same each time, below `jitter_ns`.

    It is drawn from the id, so heartbeats that are due together fire at times of their own.
    """
    if not jitter_ns:
        return 0
    drawn = blake2b(heartbeat_id.encode(), digest_size=8, person=b"jitter").digest()
    return int.from_bytes(drawn) % jitter_ns


def _instant(at_ns: int) -> datetime:
    return _START + timedelta(microseconds=at_ns // 1_000)


def _nanoseconds(at: datetime) -> int:
    return (at - _START) // _MICROSECOND * 1_000
