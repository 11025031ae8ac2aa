"""Schedules in cron's notation: what is read, what is refused, and when they are due."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.actors import Cron
from outlive.events import InvalidCron

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


REFERENCE = json.loads(
    (Path(__file__).parents[1] / "data" / "cron" / "next-runs.json").read_text(encoding="utf-8")
)
CASES: dict[str, list[dict[str, object]]] = {}
for each in REFERENCE["cases"]:
    CASES.setdefault(each["expr"], []).append(each)

A_DATE = "2026-12-24T18:00:00"
"""croner takes an instant for a schedule; here that is what `at` is for."""

IMPOSSIBLE = "0 0 30 2 *"
"""croner reads it, and says that it is never due; here it is refused at once."""


def instants(texts: object) -> list[datetime]:
    assert isinstance(texts, list)
    return [datetime.fromisoformat(str(text)) for text in cast("list[object]", texts)]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(cron: Cron, after: datetime, number: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < number and (due := cron.next(found[-1] if found else after)) is not None:
        found.append(due)
    return found


@pytest.mark.parametrize("expression", [expr for expr in CASES if expr != A_DATE])
def test_it_is_due_when_the_reference_is(expression: str) -> None:
    for case in CASES[expression]:
        zone, after = str(case["tz"]), datetime.fromisoformat(str(case["from"]))
        if "error" in case or expression == IMPOSSIBLE:
            with pytest.raises(InvalidCron):
                Cron(expression, zone)
        elif not case["runs"]:
            assert Cron(expression, zone).next(after) is None, case
        else:
            cron, runs = Cron(expression, zone), instants(case["runs"])
            assert following(cron, after, REFERENCE["count"]) == runs, case
            assert [cron.previous(due) for due in runs[1:]] == runs[:-1], case
            assert cron.count(runs[0], runs[-1]) == len(runs) - 1, case


UNKNOWN = "this is neither a number nor a name that is known here"
NTH = "a month has the first to the fifth of it, or the last: L"
NO_DAY = "there is no such day in any year"
NO_STEP = "is no step that it can be divided by"
NO_PARTS = "parts, not 5, 6 or 7"
NO_MACRO = "is none of @annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", f"'' has 0 {NO_PARTS}"),
        ("* * *", f"'* * *' has 3 {NO_PARTS}"),
        ("* * * * * * * *", f"'* * * * * * * *' has 8 {NO_PARTS}"),
        ("* " * 600, "a schedule has at most 1000 characters"),
        (A_DATE, f"'2026-12-24T18:00:00' has 1 {NO_PARTS}"),
        ("@every 5m", f"'@every 5m' {NO_MACRO}"),
        ("@reboot", f"'@reboot' {NO_MACRO}"),
        ("60 * * * *", "minute '60': it goes from 0 to 59"),
        ("* 24 * * *", "hour '24': it goes from 0 to 23"),
        ("60 * * * * *", "second '60': it goes from 0 to 59"),
        ("0 0 0 * *", "day of month '0': it goes from 1 to 31"),
        ("0 0 32 * *", "day of month '32': it goes from 1 to 31"),
        ("0 0 * 13 *", "month '13': it goes from 1 to 12"),
        ("0 0 * * 8", "weekday '8': it goes from 0 to 7"),
        ("0 0 0 1 1 * 1969", "year '1969': it goes from 1970 to 2099"),
        ("0 0 0 1 1 * 2100", "year '2100': it goes from 1970 to 2099"),
        ("-5 * * * *", f"minute '': {UNKNOWN}"),
        ("٣ * * * *", f"minute '٣': {UNKNOWN}"),
        ("5, * * * *", f"minute '': {UNKNOWN}"),
        ("x * * * *", f"minute 'x': {UNKNOWN}"),
        ("0 0 * FOO *", f"month 'foo': {UNKNOWN}"),
        ("0 0 * * JAN", f"weekday 'jan': {UNKNOWN}"),
        ("0 0 * JANUARY *", f"month 'january': {UNKNOWN}"),
        ("*/0 * * * *", f"minute '*/0': '0' {NO_STEP}"),
        ("0 0 */32 * *", f"day of month '*/32': '32' {NO_STEP}"),
        ("0 0 * */13 *", f"month '*/13': '13' {NO_STEP}"),
        ("X0 0 * * *", f"minute 'x0': {UNKNOWN}"),
        ("0 0 * * 1\n", f"weekday '1\\n': {UNKNOWN}"),
        ("@daily".ljust(1_001), "a schedule has at most 1000 characters"),
        ("*/61 * * * *", f"minute '*/61': '61' {NO_STEP}"),
        ("*/x * * * *", f"minute '*/x': 'x' {NO_STEP}"),
        ("1/2/3 * * * *", f"minute '1/2/3': '2/3' {NO_STEP}"),
        ("5/15 * * * *", "minute '5/15': write 5-59/15 for this"),
        ("0 22-2 * * *", "hour '22-2': the range ends before it begins"),
        ("0 0 * * FRI-MON", "weekday 'fri-mon': the range ends before it begins"),
        ("H * * * *", f"minute 'h': {UNKNOWN}"),
        ("H(0-9) * * * *", f"minute 'h(0': {UNKNOWN}"),
        ("R * * * *", f"minute 'r': {UNKNOWN}"),
        ("0 0 W15 * *", f"day of month 'w15': {UNKNOWN}"),
        ("0 0 32W * *", "day of month '32': it goes from 1 to 31"),
        ("0 0 1-5W * *", f"day of month '1-5': {UNKNOWN}"),
        ("0 0 * * L", "weekday 'l': say which weekday is to be the last, as 5L"),
        ("0 0 * * L5", f"weekday 'l5': {UNKNOWN}"),
        ("0 0 * * 1#6", f"weekday '1#6': {NTH}"),
        ("0 0 * * 1#0", f"weekday '1#0': {NTH}"),
        ("0 0 * * 1#", f"weekday '1#': {NTH}"),
        ("0 0 * * ++1", f"weekday '+1': {UNKNOWN}"),
        ("0 0 30 2 *", NO_DAY),
        ("0 0 31 4,6,9,11 *", NO_DAY),
        ("0 0 0 29 2 * 2027", NO_DAY),
        ("0 0 * * */8", f"weekday '*/8': '8' {NO_STEP}"),
        ("0 0 0 1 1 +1 2027", NO_DAY),
    ],
)
def test_what_cannot_be_kept_to_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(InvalidCron) as refused:
        Cron(expression, "UTC")
    assert str(refused.value) == f"{expression!r} is no schedule: {reason}"


def test_something_else_than_text_is_refused() -> None:
    with pytest.raises(InvalidCron, match="text"):
        Cron(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd", "/etc/localtime", "UTC+1 "])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(InvalidCron, match="no time zone"):
        Cron("@daily", zone)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@ANNUALLY", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@Weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("  5\t4 * * *  ", "5 4 * * *"),
        ("5 4 * * 7", "5 4 * * SUN"),
        ("5 4 ? * ?", "5 4 * * *"),
        ("5 4 13 * +?", "5 4 13 * *"),
        ("5 4 13 * +*", "5 4 13 * *"),
        ("5 4 * * FRIL", "5 4 * * FRI#L"),
        ("5 4 * * 1L,2L", "5 4 * * MON-TUE#L"),
        ("5 4 * * */2", "5 4 * * 0,2,4,6"),
        ("5 4 * * 7L", "5 4 * * SUN#L"),
        ("5 4 * * 7#2", "5 4 * * 0#2"),
        ("*/1 4 * * *", "* 4 * * *"),
        ("*/60 4 * * *", "0 4 * * *"),
        ("5 4 */31 * *", "5 4 1 * *"),
        ("10-50/20 4 * * *", "10,30,50 4 * * *"),
        ("@daily".ljust(1_000), "@daily"),
        ("5 4 * * 5-7", "5 4 * * FRI,SAT,SUN"),
        ("0 5 4 * * *", "5 4 * * *"),
        ("0 5 4 * * * *", "5 4 * * *"),
        ("7-7 4 * * *", "7 4 * * *"),
        ("5 4 * * 5L", "5 4 * * fri#l"),
        ("5 4 * * 1-2#2", "5 4 * * 1#2,2#2"),
    ],
)
def test_one_schedule_may_be_written_in_several_ways(one: str, other: str) -> None:
    in_one, in_other = Cron(one, "Europe/Berlin"), Cron(other, "Europe/Berlin")
    assert following(in_one, NOON, 5) == following(in_other, NOON, 5)


@pytest.mark.parametrize(("nth", "day"), [(1, 2), (2, 9), (3, 16), (4, 23), (5, 30)])
def test_a_weekday_may_be_one_of_the_five_of_its_month(nth: int, day: int) -> None:
    cron = Cron(f"0 0 * 11 MON#{nth}", "UTC")
    assert cron.next(utc("2026-10-31T12:00")) == datetime(2026, 11, day, tzinfo=UTC)


def test_several_kinds_of_days_may_be_listed() -> None:
    cron = Cron("0 0 LW,15W,3,L JAN,FEB *", "UTC")
    assert [due.date() for due in following(cron, NOON, 7)] == [
        date(2027, 1, 3),
        date(2027, 1, 15),  # a Friday
        date(2027, 1, 29),  # the last Friday
        date(2027, 1, 31),
        date(2027, 2, 3),
        date(2027, 2, 15),
        date(2027, 2, 26),
    ]


def test_days_and_weekdays_are_either_or_but_both_with_a_plus() -> None:
    either, both = Cron("0 0 13 * 5#1", "UTC"), Cron("0 0 13 * +5", "UTC")
    assert [due.day for due in following(either, NOON, 4)] == [4, 13, 1, 13]
    assert [due.date() for due in following(both, NOON, 2)] == [
        date(2027, 8, 13),
        date(2028, 10, 13),
    ]


def test_a_schedule_that_is_over_names_no_more_instants() -> None:
    cron = Cron("0 0 0 1 1 * 2020", "UTC")
    assert cron.next(NOON) is None
    assert cron.previous(NOON) == datetime(2020, 1, 1, tzinfo=UTC)
    assert cron.previous(datetime(2020, 1, 1, tzinfo=UTC)) is None
    assert cron.next(datetime(1, 1, 1, tzinfo=UTC)) == datetime(2020, 1, 1, tzinfo=UTC)
    assert Cron("* * * * *", "UTC").next(datetime(9999, 12, 31, tzinfo=UTC)) is None
    assert Cron("* * * * *", "UTC").previous(datetime(1, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("expression", "instants"),
    [
        # Twice a day, on a day of one year, of each year, and of leap years.
        ("0 0,30 0 1 1 * 2027", ["2026-12-31T23:00", "2026-12-31T23:30"]),
        ("0,30 12 1 7 *", ["2026-07-01T10:00", "2026-07-01T10:30", "2027-07-01T10:00"]),
        ("0,30 12 29 2 *", ["2028-02-29T11:00", "2028-02-29T11:30", "2032-02-29T11:00"]),
        # What is shown twice, as clocks are put back on that day in 2026 and not in 2027.
        (
            "0,30 2 25 10 *",
            [
                *("2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"),
                *("2027-10-25T00:00", "2027-10-25T00:30"),
            ],
        ),
        # What is passed over, as they are put forward on that day in 2026 and not in 2027.
        ("0,30 2 29 3 *", ["2027-03-29T00:00", "2027-03-29T00:30"]),
        # All that there is, shown twice: there is no wall before it nor behind it.
        (
            "0 15,30 2 31 10 * 2027",
            ["2027-10-31T00:15", "2027-10-31T00:30", "2027-10-31T01:15", "2027-10-31T01:30"],
        ),
        (
            "0 0,30 2 31 10 * 2027",
            ["2027-10-31T00:00", "2027-10-31T00:30", "2027-10-31T01:00", "2027-10-31T01:30"],
        ),
    ],
)
def test_an_instant_may_be_far_away_whatever_clocks_are_changed_meanwhile(
    expression: str, instants: list[str]
) -> None:
    cron = Cron(expression, "Europe/Berlin")
    expected = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in instants]
    begin = datetime(2026, 3, 15, tzinfo=UTC)
    assert following(cron, begin, len(expected)) == expected
    assert [cron.previous(due) for due in expected[1:]] == expected[:-1]
    assert cron.previous(expected[-1] + MINUTE) == expected[-1]
    assert cron.count(begin, expected[-1] + MINUTE) == len(expected)


@pytest.mark.parametrize(
    ("expression", "asked", "expected"),
    [
        # 02:30 was shown once, and 02:15 for the second time.
        ("30 2 * * *", "2026-10-25T01:15", "2026-10-25T00:30"),
        ("30,45 2 25 10 *", "2026-10-25T01:15", "2026-10-25T00:45"),
        # From 02:00 they went on to 03:00, and show 03:45.
        ("30 3 * * *", "2026-03-29T01:45", "2026-03-29T01:30"),
        ("30,40 3 29 3 *", "2026-03-29T01:45", "2026-03-29T01:40"),
        # The last second that they passed over: it is due where they landed.
        ("59 59 2 * * *", "2026-03-29T02:00", "2026-03-29T01:00"),
    ],
)
def test_the_last_one_may_lie_on_the_other_side_of_a_change(
    expression: str, asked: str, expected: str
) -> None:
    cron, before, due = Cron(expression, "Europe/Berlin"), utc(asked), utc(expected)
    assert cron.previous(before) == due
    assert cron.next(due - MINUTE) == due


@pytest.mark.parametrize(
    ("expression", "first", "last"),
    [
        ("0 0 1 1 *", "1970-01-01T00:00", "2099-01-01T00:00"),
        ("30 23 31 12 *", "1970-12-31T23:30", "2099-12-31T23:30"),
        ("0,30 0 * * *", "1970-01-01T00:00", "2099-12-31T00:30"),
        ("0 0 1 * 4", "1970-01-01T00:00", "2099-12-31T00:00"),
    ],
)
def test_it_goes_from_the_first_day_of_1970_to_the_last_of_2099(
    expression: str, first: str, last: str
) -> None:
    cron, second = Cron(expression, "UTC"), timedelta(seconds=1)
    assert cron.next(utc("1900-01-01T00:00")) == utc(first)
    assert cron.previous(utc(first) + second) == utc(first)
    assert cron.previous(utc(first)) is None
    assert cron.previous(utc("2200-01-01T00:00")) == utc(last)
    assert cron.next(utc(last) - second) == utc(last)
    assert cron.next(utc(last)) is None


@pytest.mark.parametrize("expression", ["0 * * * *", "0 19 * * *", "0 19,20 * * *"])
def test_where_it_is_still_1969_nothing_is_due_yet(expression: str) -> None:
    cron = Cron(expression, "America/New_York")
    new_year = utc("1970-01-01T05:00")
    assert cron.previous(new_year) is None
    assert cron.next(utc("1970-01-01T00:00")) == cron.next(new_year - timedelta(seconds=1))
    assert cron.count(utc("1970-01-01T00:00"), new_year) == 0


def test_where_there_is_no_more_there_is_none_however_far_one_looks() -> None:
    cron = Cron("0 0,30 0 1 1 * 2027", "Europe/Berlin")
    assert cron.next(datetime(2027, 6, 1, tzinfo=UTC)) is None
    assert cron.previous(datetime(2026, 6, 1, tzinfo=UTC)) is None
    assert cron.previous(datetime(2050, 6, 1, tzinfo=UTC)) == datetime(
        2026, 12, 31, 23, 30, tzinfo=UTC
    )


def test_between_two_instants_there_may_be_nearly_all_years() -> None:
    cron = Cron("0 0 0 1 1 * 1970,2099", "UTC")
    first, last = utc("1970-01-01T00:00"), utc("2099-01-01T00:00")
    assert cron.next(first) == last
    assert cron.previous(last) == first


def test_the_first_and_the_last_minute_are_counted() -> None:
    cron = Cron("* * * * *", "UTC")
    first, last = datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, tzinfo=UTC)
    assert cron.count(first - 9 * MINUTE, first + MINUTE) == 1
    assert cron.count(last, last + 9 * MINUTE) == 1
    assert cron.count(last - timedelta(days=1), last + timedelta(days=1)) == 1_441
    assert cron.count(NOON, NOON) == 0
    assert cron.count(NOON, NOON - MINUTE) == 0
    assert cron.previous(first + MINUTE) == first
    assert cron.previous(first) is None


def test_instants_are_aware_and_in_utc() -> None:
    cron = Cron("0 9 * * *", "Asia/Tokyo")
    due = cron.next(NOON.astimezone(ZoneInfo("America/New_York")) + timedelta(microseconds=1))
    assert due is not None
    assert due == datetime(2026, 11, 23, tzinfo=UTC)
    assert due.tzinfo is UTC
    for ask in (cron.next, cron.previous):
        with pytest.raises(ValueError, match="no time zone"):
            ask(datetime(2026, 11, 22))  # noqa: DTZ001  # what is refused


def test_an_instant_comes_after_any_fraction_of_the_second_before_it() -> None:
    cron, fraction = Cron("0 12 * * *", "UTC"), timedelta(microseconds=1)
    assert cron.next(NOON - fraction) == NOON
    assert cron.next(NOON) == NOON + timedelta(days=1)
    assert cron.previous(NOON + fraction) == NOON
    assert cron.previous(NOON) == NOON - timedelta(days=1)


def test_without_a_zone_it_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert Cron("@daily").timezone == "Asia/Tokyo"
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert Cron("@daily").timezone == "Europe/Berlin"
    monkeypatch.setenv("TZ", "nonsense")
    assert Cron("@daily").next(NOON) is not None


def test_a_day_that_was_never_there_has_no_times() -> None:
    """Samoa went from 29 to 31 December 2011 in one moment."""
    fixed, shown = Cron("30 2 * * *", "Pacific/Apia"), Cron("0,30 2 * * *", "Pacific/Apia")
    before = datetime(2011, 12, 29, 20, tzinfo=UTC)
    local = ZoneInfo("Pacific/Apia")
    days = [due.astimezone(local).date().day for due in following(fixed, before, 2)]
    assert days == [31, 1]
    assert [due.astimezone(local).day for due in following(shown, before, 3)] == [31, 31, 1]


def test_a_great_many_instants_are_counted_by_days() -> None:
    year = timedelta(days=365)
    assert Cron("* * * * * *", "UTC").count(NOON, NOON + year) == 365 * 86_400
    assert Cron("* * * * *", "Europe/Berlin").count(NOON, NOON) == 0
    assert Cron("* * * * *", "UTC").count(NOON + year, NOON) == 0


# ---- against a slow reading of the rule, minute by minute


class Drawn(msgspec.Struct, frozen=True):
    """A schedule as sets, and as it is written."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    weekdays: frozenset[int] | None

    @property
    def text(self) -> str:
        fields = (self.minutes, self.hours, self.days, None, self.weekdays)
        return " ".join("*" if f is None else ",".join(map(str, sorted(f))) for f in fields)

    def shows(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.on(wall.date())

    def on(self, day: date) -> bool:
        fits = [] if self.days is None else [day.day in self.days]
        fits += [] if self.weekdays is None else [day.isoweekday() % 7 in self.weekdays]
        return any(fits) or not fits


CHANGES = [  # a zone, and a moment near to which its clocks were changed
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),  # at midnight
    ("America/Sao_Paulo", datetime(2018, 2, 18, 2, tzinfo=UTC)),
    ("America/Nuuk", datetime(2026, 3, 29, 1, tzinfo=UTC)),  # over midnight
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),  # twice within five weeks
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # by a whole day
    ("Asia/Kathmandu", datetime(1985, 12, 31, 18, 30, tzinfo=UTC)),  # at the end of a year
]


def due_minutes(drawn: Drawn, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Look at the clock each minute, and remember which times of day were shown or passed over."""
    fixed = len(drawn.minutes) == len(drawn.hours) == 1
    seen: set[datetime] = set()
    wall_before = (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    now = start
    while now < end:
        wall = now.astimezone(zone).replace(tzinfo=None, fold=0)
        if not fixed:
            due = drawn.shows(wall)
        else:
            passed = (wall_before + n * MINUTE for n in range(1, (wall - wall_before) // MINUTE))
            due = any(drawn.shows(each) and each.date() == wall.date() for each in passed)
            due |= drawn.shows(wall) and wall not in seen
            seen.add(wall)
        if due:
            yield now
        now, wall_before = now + MINUTE, wall


def some(values: range, most: int) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.sampled_from(values), min_size=1, max_size=most)


@given(
    change=st.sampled_from(CHANGES),
    drawn=st.builds(
        Drawn,
        minutes=some(range(0, 60, 15), 3) | st.just(frozenset(range(60))),
        hours=some(range(24), 1) | some(range(5), 1) | some(range(24), 6),
        days=st.none() | some(range(1, 32), 20),
        weekdays=st.none() | some(range(7), 4),
    ),
)
def test_it_is_due_whenever_a_clock_that_is_watched_says_so(
    change: tuple[str, datetime], drawn: Drawn
) -> None:
    name, moment = change
    start, end = moment - timedelta(days=1, hours=6), moment + timedelta(days=1, hours=6)
    # The clock is watched from earlier on, so that what it shows twice is known.
    watched = due_minutes(drawn, ZoneInfo(name), start - timedelta(days=1), end)
    expected = [due for due in watched if due >= start]
    cron = Cron(drawn.text, name)

    forward = [due for due in following(cron, start - MINUTE, len(expected) + 1) if due < end]
    assert forward == expected

    backward: list[datetime] = []
    due = cron.previous(end)
    while due is not None and due >= start:
        backward.append(due)
        due = cron.previous(due)
    assert backward[::-1] == expected
    assert cron.count(start, end) == len(expected)
