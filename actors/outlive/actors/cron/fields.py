"""The notation: one expression, read strictly, into what each of its fields allows.

croniter takes more than can be kept to (`H` and `R` are random, `22-2` and `5/15` mean another
thing elsewhere), so that each field is read here and handed on as plain lists.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final

import msgspec

from outlive.events.errors import InvalidCron

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = {
    name: n
    for n, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_WEEKDAYS: Final = {
    name: n for n, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_LONGEST: Final = 1_000
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2099
LAST_WORKING_DAY: Final = "26-31"
"""The days among which the last working day of a month is."""


class Fields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an expression allows.

    `days` are (day of month, weekday) in croniter's notation: a day fits if one of the pairs does.
    An empty `years` allows each.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[tuple[str, str], ...]
    months: str
    years: tuple[int, ...]


class _Part(msgspec.Struct, frozen=True):
    """One field: what it is called, its least and greatest value, and the names of values."""

    name: str
    least: int
    most: int
    names: dict[str, int] = {}

    def wrong(self, text: str, why: str) -> InvalidCron:
        return InvalidCron(f"{self.name} {text!r}: {why}")

    def number(self, text: str) -> int:
        value = self.names.get(text)
        if value is None:
            if not re.fullmatch(r"[0-9]{1,4}", text):
                raise self.wrong(text, "this is neither a number nor a name that is known here")
            value = int(text)
        if not self.least <= value <= self.most:
            raise self.wrong(text, f"it goes from {self.least} to {self.most}")
        return value

    def values(self, text: str) -> set[int]:
        """Return what `*`, `*/n`, `a`, `a-b` or `a-b/n` stands for."""
        span, slash, step_text = text.partition("/")
        step = 1
        if slash:
            step = int(step_text) if re.fullmatch(r"[0-9]{1,4}", step_text) else 0
            if not 1 <= step <= self.most - self.least + 1:
                raise self.wrong(text, f"{step_text!r} is no step that it can be divided by")
        if span == "*":
            return set(range(self.least, self.most + 1, step))
        low_text, dash, high_text = span.partition("-")
        low = self.number(low_text)
        if not dash:
            if slash:
                raise self.wrong(text, f"write {low_text}-{self.most}/{step} for this")
            return {low}
        high = self.number(high_text)
        if high < low:
            raise self.wrong(text, "the range ends before it begins")
        return set(range(low, high + 1, step))

    def all_values(self, text: str) -> tuple[int, ...]:
        return tuple(sorted({value for item in text.split(",") for value in self.values(item)}))


_SECOND: Final = _Part("second", 0, 59)
_MINUTE: Final = _Part("minute", 0, 59)
_HOUR: Final = _Part("hour", 0, 23)
_DAY: Final = _Part("day of month", 1, 31)
_MONTH: Final = _Part("month", 1, 12, _MONTHS)
_WEEKDAY: Final = _Part("weekday", 0, 7, _WEEKDAYS)
_EACH_WEEKDAY: Final = _Part("weekday", 0, 6, _WEEKDAYS)
_YEAR: Final = _Part("year", FIRST_YEAR, LAST_YEAR)


def read(expression: str) -> Fields:
    """Read an expression of 5, 6 (seconds first) or 7 fields (year last), or a macro.

    Raises:
        InvalidCron: it is none, with what is wrong about it.
    """
    if len(expression) > _LONGEST:
        raise InvalidCron(f"a schedule has at most {_LONGEST} characters")
    text = expression.strip(" \t").lower()
    if text.startswith("@"):
        if text not in _MACROS:
            known = ", ".join(sorted(_MACROS))
            raise InvalidCron(f"{expression!r} is none of {known}")
        text = _MACROS[text]
    parts = re.findall(r"[^ \t]+", text)
    if len(parts) not in (5, 6, 7):
        raise InvalidCron(f"{expression!r} has {len(parts)} parts, not 5, 6 or 7")
    if len(parts) == 5:
        parts.insert(0, "0")
    if len(parts) == 6:
        parts.append("*")
    second, minute, hour, day, month, weekday, year = ("*" if p == "?" else p for p in parts)
    return Fields(
        seconds=_SECOND.all_values(second),
        minutes=_MINUTE.all_values(minute),
        hours=_HOUR.all_values(hour),
        days=_days(day, weekday),
        months="*" if month == "*" else _listed(_MONTH.all_values(month)),
        years=() if year == "*" else _YEAR.all_values(year),
    )


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _days(day: str, weekday: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a day of the month and a weekday, one of which a day has to fit.

    Where both fields are given a day fits either of them; with a `+` before the weekdays, both.
    """
    both = weekday.startswith("+")
    weekday = weekday.removeprefix("+")
    weekday = "*" if weekday == "?" else weekday
    days, weekdays = _days_of_month(day), _weekdays(weekday)
    if both or "*" in (day, weekday):
        return tuple(product(days, weekdays))
    return (*((each, "*") for each in days), *(("*", each) for each in weekdays))


def _days_of_month(text: str) -> list[str]:
    """Return the notations of which a day has to fit one: a list of days, `L`, `15W`, `26-31`."""
    if text == "*":
        return ["*"]
    plain: set[int] = set()
    special: list[str] = []
    for item in text.split(","):
        if item == "l":
            special.append("L")
        elif item == "lw":
            special.append(LAST_WORKING_DAY)
        elif item.endswith("w"):
            special.append(f"{_DAY.number(item.removesuffix('w'))}W")
        else:
            plain |= _DAY.values(item)
    listed = [_listed(tuple(sorted(plain)))] if plain else []
    return listed + list(dict.fromkeys(special))


def _weekdays(text: str) -> list[str]:
    """Return the notations of which a day has to fit one: a list of weekdays, `1#2`, `L5`."""
    if text == "*":
        return ["*"]
    plain: set[int] = set()
    special: list[str] = []
    for item in text.split(","):
        if item == "l":
            raise _WEEKDAY.wrong(item, "say which weekday is to be the last, as 5L")
        weekday, hash_mark, nth = item.partition("#")
        if not hash_mark and item.endswith("l"):
            weekday, hash_mark, nth = item[:-1], "#", "l"
        part = _EACH_WEEKDAY if weekday.startswith("*") else _WEEKDAY
        values = {value % 7 for value in part.values(weekday)}
        if not hash_mark:
            plain |= values
        elif nth == "l":
            special += [f"L{value}" for value in sorted(values)]
        elif nth in ("1", "2", "3", "4", "5"):
            special += [f"{value}#{nth}" for value in sorted(values)]
        else:
            raise _WEEKDAY.wrong(item, "a month has the first to the fifth of it, or the last: L")
    listed = [_listed(tuple(sorted(plain)))] if plain else []
    return listed + list(dict.fromkeys(special))
