"""What a clock on the wall shows when a schedule is due, without any zone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from copy import copy
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from outlive.actors.cron.fields import (
    FIRST_YEAR,
    LAST_WORKING_DAY,
    LAST_YEAR,
    Fields,
)
from outlive.events.errors import InvalidCron

if TYPE_CHECKING:
    from croniter import croniter

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_FIRST_DAY: Final = date(FIRST_YEAR, 1, 1)
_LAST_DAY: Final = date(LAST_YEAR, 12, 31)
_KEPT: Final = 64
_A_LEAP_CYCLE: Final = 50
"""29 February is a certain weekday again after 40 years at the most."""


class Times:
    """The times of a day at which a schedule is due."""

    def __init__(self, fields: Fields) -> None:
        self._hours, self._minutes, self._seconds = fields.hours, fields.minutes, fields.seconds
        self.count = len(self._hours) * len(self._minutes) * len(self._seconds)
        self.first = time(self._hours[0], self._minutes[0], self._seconds[0])
        self.last = time(self._hours[-1], self._minutes[-1], self._seconds[-1])

    def after(self, now: time) -> time | None:
        """Return the first that is later than `now`."""
        rank = self.earlier(now) + (1 if self._has(now) else 0)
        return self._at(rank) if rank < self.count else None

    def before(self, now: time) -> time | None:
        """Return the last that is earlier than `now`, a whole second."""
        rank = self.earlier(now)
        return self._at(rank - 1) if rank else None

    def earlier(self, now: time) -> int:
        """Return how many are earlier than `now`, a whole second."""
        rank = bisect_left(self._hours, now.hour)
        if not _has(self._hours, now.hour):
            return rank * len(self._minutes) * len(self._seconds)
        rank = rank * len(self._minutes) + bisect_left(self._minutes, now.minute)
        if not _has(self._minutes, now.minute):
            return rank * len(self._seconds)
        return rank * len(self._seconds) + bisect_left(self._seconds, now.second)

    def _has(self, now: time) -> bool:
        return (
            _has(self._hours, now.hour)
            and _has(self._minutes, now.minute)
            and _has(self._seconds, now.second)
        )

    def _at(self, rank: int) -> time:
        rank, second = divmod(rank, len(self._seconds))
        hour, minute = divmod(rank, len(self._minutes))
        return time(self._hours[hour], self._minutes[minute], self._seconds[second])


def _has(values: tuple[int, ...], value: int) -> bool:
    return bisect_right(values, value) > bisect_left(values, value)


class Days:
    """The days on which a schedule is due, from 1970 to 2099.

    Raises:
        InvalidCron: there is none.
    """

    def __init__(self, fields: Fields) -> None:
        from croniter import croniter  # noqa: PLC0415  # it takes a while, and most have no schedule

        self.each = fields.days == (("*", "*"),) and fields.months == "*" and not fields.years
        reach = LAST_YEAR - FIRST_YEAR + 1 if fields.years else _A_LEAP_CYCLE
        years = ",".join(map(str, fields.years))
        self._kinds = tuple(
            (
                croniter(
                    f"0 0 0 {day} {fields.months} {weekday} {years}",
                    0.0,
                    day_or=False,
                    max_years_between_matches=reach,
                    second_at_beginning=True,
                ),
                day == LAST_WORKING_DAY,
            )
            for day, weekday in fields.days
        )
        # A look costs more than everything else, and the same day is asked for again and again.
        self._forward: dict[date, date | None] = {}
        self._backward: dict[date, date | None] = {}
        if _may_be_none(fields) and self.at_or_after(_FIRST_DAY) is None:
            raise InvalidCron("there is no such day in any year")

    def at_or_after(self, day: date) -> date | None:
        """Return the first that is not earlier than `day`."""
        if day > _LAST_DAY:
            return None
        day = max(day, _FIRST_DAY)  # A day before that may fit, and would end the search.
        if self.each:
            return day
        if day not in self._forward:
            looked = (self._look(kind, day, forward=True) for kind in self._kinds)
            found = min((each for each in looked if each is not None), default=None)
            _keep(self._forward, day, found)
        return self._forward[day]

    def at_or_before(self, day: date) -> date | None:
        """Return the last that is not later than `day`."""
        if day < _FIRST_DAY:
            return None
        day = min(day, _LAST_DAY)
        if self.each:
            return day
        if day not in self._backward:
            looked = (self._look(kind, day, forward=False) for kind in self._kinds)
            found = max((each for each in looked if each is not None), default=None)
            _keep(self._backward, day, found)
        return self._backward[day]

    def has(self, day: date) -> bool:
        """Tell whether `day` is one of them."""
        return self.at_or_after(day) == day

    def _look(self, kind: tuple[croniter, bool], day: date, *, forward: bool) -> date | None:
        from croniter import CroniterBadDateError  # noqa: PLC0415  # see above

        days, last_working_day = kind
        calendar = copy(days)  # it remembers where it is, and may be asked from several threads
        midnight = datetime.combine(day, time(0))
        calendar.set_current(midnight - _MINUTE if forward else midnight + _MINUTE)
        try:
            while True:
                found = calendar.get_next(datetime) if forward else calendar.get_prev(datetime)
                if not _FIRST_DAY <= found.date() <= _LAST_DAY:
                    return None
                if not last_working_day or _is_last_working_day(found.date()):
                    return found.date()
        except (CroniterBadDateError, OverflowError):
            return None


def _keep(known: dict[date, date | None], day: date, found: date | None) -> None:
    if len(known) >= _KEPT:
        known.clear()
    known[day] = found


def _may_be_none(fields: Fields) -> bool:
    """Whether it has to be looked up that there is a day at all: 30 February, 2027 only."""
    return bool(fields.years) or all(day[0] in "23" and day >= "29" for day, _ in fields.days)


def _is_last_working_day(day: date) -> bool:
    if day.weekday() > 4:
        return False
    to_the_next = 3 if day.weekday() == 4 else 1
    return (day + timedelta(days=to_the_next)).month != day.month


class Walls:
    """The moments on the wall at which a schedule is due."""

    def __init__(self, fields: Fields) -> None:
        self._times = Times(fields)
        self._days = Days(fields)
        self.fixed = self._times.count == 1

    def after(self, wall: datetime) -> datetime | None:
        """Return the first that is later than `wall`."""
        day = self._days.at_or_after(wall.date())
        if day is not None and day == wall.date():
            if (found := self._times.after(wall.time())) is not None:
                return datetime.combine(day, found)
            day = self._days.at_or_after(day + _DAY)
        return None if day is None else datetime.combine(day, self._times.first)

    def before(self, wall: datetime) -> datetime | None:
        """Return the last that is earlier than `wall`, a whole second."""
        day = self._days.at_or_before(wall.date())
        if day is not None and day == wall.date():
            if (found := self._times.before(wall.time())) is not None:
                return datetime.combine(day, found)
            day = self._days.at_or_before(day - _DAY)
        return None if day is None else datetime.combine(day, self._times.last)

    def count(self, start: datetime, end: datetime) -> int:
        """Return how many there are from `start` to before a later `end`, whole seconds."""
        total = self._times.count * self._days_between(start.date(), end.date())
        if self._days.has(end.date()):
            total += self._times.earlier(end.time())
        if self._days.has(start.date()):
            total -= self._times.earlier(start.time())
        return total

    def _days_between(self, first: date, end: date) -> int:
        """Return how many days there are from `first` to before `end`."""
        if self._days.each:
            return max(0, (min(end, _LAST_DAY + _DAY) - max(first, _FIRST_DAY)).days)
        number, day = 0, self._days.at_or_after(first)
        while day is not None and day < end:
            number, day = number + 1, self._days.at_or_after(day + _DAY)
        return number
