"""How a zone's clocks stand, and when they are put forward or back.

`zoneinfo` tells the offset at an instant but not when it changes next, so that a year is looked
through once, in steps of a week, and kept.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from outlive.events.errors import InvalidCron

SECOND: Final = timedelta(seconds=1)
_WEEK: Final = timedelta(days=7)
_NAMED_IN: Final = Path("/etc/timezone")
_LINKED_AT: Final = Path("/etc/localtime")


class Span(msgspec.Struct, frozen=True, gc=False):
    """A time in which a zone's offset is the same: from `start` to before `end`, both UTC."""

    start: datetime
    end: datetime
    offset: timedelta


class Zone:
    """A time zone by its IANA name. Instants are naive and UTC here, walls are naive and local.

    Raises:
        InvalidCron: there is none of this name on this machine.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._info = _zone_info(name)

    def span(self, instant: datetime) -> Span:
        """Return the time around `instant` in which clocks are not changed, within its year."""
        spans = _spans(self.name, instant.year)
        return spans[bisect_right(spans, instant, key=lambda span: span.start) - 1]

    def landing(self, wall: datetime) -> datetime | None:
        """Return when the clocks show `wall` for the first time.

        Where they pass over it: when they are put forward, if that is on the same day; else None.
        """
        first = wall.replace(tzinfo=self._info, fold=0).utcoffset()
        second = wall.replace(tzinfo=self._info, fold=1).utcoffset()
        assert first is not None, "a zone has an offset at any time"
        assert second is not None, "a zone has an offset at any time"
        if first >= second:
            return wall - first
        change = _change(self._info, wall - second, wall - first)
        return change if (change + second).date() == wall.date() else None


def _offset(info: ZoneInfo, instant: datetime) -> timedelta:
    offset = instant.replace(tzinfo=UTC).astimezone(info).utcoffset()
    assert offset is not None, "a zone has an offset at any time"
    return offset


@lru_cache(maxsize=1_000)
def _zone_info(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidCron(f"this machine knows no time zone {name!r}") from error


@lru_cache(maxsize=10_000)
def _spans(name: str, year: int) -> tuple[Span, ...]:
    info = _zone_info(name)
    begin, end = (datetime.combine(date(each, 1, 1), time(0)) for each in (year, year + 1))
    changes = [begin]
    early = begin
    while early < end:
        late = min(early + _WEEK, end)
        if _offset(info, early) != _offset(info, late):
            change = _change(info, early, late)
            changes += [change] if change < end else []
        early = late
    ends = [*changes[1:], end]
    return tuple(
        Span(start, stop, _offset(info, start)) for start, stop in zip(changes, ends, strict=True)
    )


def _change(info: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """Return the first second at which the offset is no longer that of `early`."""
    before = _offset(info, early)
    low, high = 0, int((late - early).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(info, early + middle * SECOND) == before:
            low = middle
        else:
            high = middle
    return early + high * SECOND


def host_timezone() -> str:
    """Return the name of this machine's time zone: `TZ`, `/etc/timezone`, `/etc/localtime`, UTC."""
    for name in (os.environ.get("TZ", "").removeprefix(":"), *_configured()):
        try:
            return Zone(name).name
        except InvalidCron:
            continue
    return "UTC"


def _configured() -> list[str]:
    names: list[str] = []
    with suppress(OSError, ValueError):
        names.append(_NAMED_IN.read_text(encoding="ascii").strip())
    return [*names, os.path.realpath(_LINKED_AT).partition("zoneinfo/")[2]]
