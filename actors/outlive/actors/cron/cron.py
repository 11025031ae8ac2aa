"""A schedule in cron's notation, and the instants that it names.

**Clocks that are changed** follow croner's rule. A schedule with one second, one minute and one
hour names a time of day: where clocks are put forward over it, it is due at the moment they are;
where they are put back over it, it is due at the first of the two. Any other schedule names what
a clock shows: what is passed over is not due, and what is shown twice is due twice.

So the first kind goes from one time of day to the next and asks when that is, and the second goes
through the spans between two changes, in which walls and instants differ by a constant.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from outlive.actors.cron.fields import FIRST_YEAR, LAST_YEAR, read
from outlive.actors.cron.walls import Walls
from outlive.actors.cron.zone import SECOND, Zone, host_timezone
from outlive.events.errors import InvalidCron

_BEGIN: Final = datetime.combine(date(FIRST_YEAR, 1, 1), time(0))
_END: Final = datetime.combine(date(LAST_YEAR + 1, 1, 1), time(0))
_TWO_DAYS: Final = timedelta(days=2)
"""More than any zone's clocks have been changed by."""


class Cron:
    """A schedule in cron's notation, in a time zone.

    `expression` has 5 parts (minute, hour, day of month, month, weekday), 6 (seconds first) or 7
    (seconds first, year last), or is one of `@hourly @daily @midnight @weekly @monthly @yearly
    @annually`. A part is `*`, a value, a range, either with a step (`*/5`, `1-30/2`), or several
    with commas; months and weekdays have names (`JAN`, `MON`), Sunday is 0 or 7. Days: `L` is the
    last, `15W` the working day nearest to the 15th, `LW` the last working day. Weekdays: `5#2` is
    the second Friday, `5L` and `FRI#L` the last. Where both days and weekdays are given a day has
    to fit either of them, with a `+` before the weekdays both.

    Years are 1970 to 2099. `timezone` is an IANA name; None is that of this machine.

    Raises:
        InvalidCron: the expression cannot be read or names no day at all, or this machine knows no
            such zone, with the reason.
    """

    __slots__ = ("_walls", "_zone", "expression", "timezone")

    def __init__(self, expression: str, timezone: str | None = None) -> None:
        if not isinstance(expression, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # wrong at the door, whatever the annotation says
            raise InvalidCron(f"a schedule is text, not {expression!r}")
        self._walls = _walls(expression)
        self._zone = Zone(host_timezone() if timezone is None else timezone)
        self.expression = expression
        self.timezone = self._zone.name

    def __repr__(self) -> str:
        return f"Cron({self.expression!r}, {self.timezone!r})"

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than `after`, in UTC; None if there is no more.

        Raises:
            ValueError: `after` has no time zone.
        """
        found = self._next(_naive(after))
        return None if found is None else found.replace(tzinfo=UTC)

    def previous(self, before: datetime) -> datetime | None:
        """Return the last instant earlier than `before`, in UTC; None if there was none since 1970.

        Raises:
            ValueError: `before` has no time zone.
        """
        found = self._previous(_naive(before))
        return None if found is None else found.replace(tzinfo=UTC)

    def count(self, start: datetime, end: datetime) -> int:
        """Return how many instants there are from `start` to before `end`.

        They are not gone through one by one, but by days.

        Raises:
            ValueError: `start` or `end` has no time zone.
        """
        first, last = _from_second(_naive(start)), _from_second(_naive(end))
        return self._count_fixed(first, last) if self._walls.fixed else self._count(first, last)

    def _next(self, after: datetime) -> datetime | None:
        moment = max(after.replace(microsecond=0), _BEGIN - SECOND)
        return self._next_fixed(moment) if self._walls.fixed else self._next_shown(moment)

    def _next_fixed(self, moment: datetime) -> datetime | None:
        if moment >= _END:
            return None
        wall = self._walls.after(moment + self._zone.span(moment).offset)
        while wall is not None:
            due = self._zone.landing(wall)
            if due is not None and due > moment:
                return due
            wall = self._walls.after(wall)
        return None

    def _next_shown(self, moment: datetime) -> datetime | None:
        while moment < _END:
            span = self._zone.span(moment + SECOND)
            whole = span.start > moment
            wall = self._walls.after(moment + span.offset)
            if wall is None:
                if whole:
                    return None
                moment = span.end - SECOND
                continue
            due = wall - span.offset
            if due < span.end:
                return due
            # What the next change shows again is before `wall`, but not after a whole span.
            moment = (max(span.end, due - _TWO_DAYS) if whole else span.end) - SECOND
        return None

    def _previous(self, before: datetime) -> datetime | None:
        moment = _from_second(before) - SECOND
        return self._previous_fixed(moment) if self._walls.fixed else self._previous_shown(moment)

    def _previous_fixed(self, moment: datetime) -> datetime | None:
        if moment < _BEGIN:
            return None
        # What is shown twice was due at the first, so a later wall may have been due already.
        offset = max(self._zone.span(moment - day).offset for day in (_TWO_DAYS, timedelta(0)))
        wall = self._walls.before(moment + offset + SECOND)
        while wall is not None:
            due = self._zone.landing(wall)
            if due is not None and due <= moment:
                return due
            wall = self._walls.before(wall)
        return None

    def _previous_shown(self, moment: datetime) -> datetime | None:
        while moment >= _BEGIN:
            span = self._zone.span(moment)
            whole = moment == span.end - SECOND
            wall = self._walls.before(moment + SECOND + span.offset)
            if wall is None:
                if whole:
                    return None
                moment = span.start - SECOND
                continue
            due = wall - span.offset
            if due >= span.start:
                return due
            moment = (min(span.start, due + _TWO_DAYS) if whole else span.start) - SECOND
        return None

    def _count_fixed(self, start: datetime, end: datetime) -> int:
        number, due = 0, self._next(start - SECOND)
        while due is not None and due < end:
            number, due = number + 1, self._next(due)
        return number

    def _count(self, start: datetime, end: datetime) -> int:
        number = 0
        while start < end:
            span = self._zone.span(start)
            stop = min(end, span.end)
            number += self._walls.count(start + span.offset, stop + span.offset)
            start = stop
        return number


@lru_cache(maxsize=1_000)
def _walls(expression: str) -> Walls:
    try:
        return Walls(read(expression))
    except InvalidCron as error:
        raise InvalidCron(f"{expression!r} is no schedule: {error}") from None


def _naive(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise ValueError(f"{instant!r} has no time zone: say which instant it is")
    return instant.astimezone(UTC).replace(tzinfo=None)


def _from_second(instant: datetime) -> datetime:
    """Return the first whole second that is not earlier than `instant`, within the calendar."""
    within = min(max(instant, _BEGIN), _END)
    whole = within.replace(microsecond=0)
    return whole if whole == within else whole + SECOND
