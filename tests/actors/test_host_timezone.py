"""Which time zone a schedule is in if it names none: that of the machine."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from outlive.actors import Cron
from outlive.actors.cron import zone
from outlive.actors.cron.zone import host_timezone

Machine: TypeAlias = tuple[str | None, str | bytes | None, str | bytes | None]
"""`TZ`, what `/etc/timezone` holds, and where `/etc/localtime` leads, or the bytes it holds."""

TOKYO, BERLIN, LIMA = "Asia/Tokyo", "Europe/Berlin", "America/Lima"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ((TOKYO, BERLIN, LIMA), TOKYO),
        ((f":{TOKYO}", BERLIN, LIMA), TOKYO),
        ((None, f"{BERLIN}\n", LIMA), BERLIN),
        ((None, None, LIMA), LIMA),
        (("", f"{BERLIN}\n", LIMA), BERLIN),
        (("", "\n", LIMA), LIMA),
        # A rule in the place of a name, a zone that is not there, and no text at all.
        (("CET-1CEST,M3.5.0,M10.5.0/3", BERLIN, LIMA), BERLIN),
        ((None, "Mars/Base", LIMA), LIMA),
        ((None, b"\xff\xfe", LIMA), LIMA),
        # A copy in the place of a link does not tell its name.
        ((None, None, b"TZif2"), "UTC"),
        ((None, None, None), "UTC"),
        (("Mars/Base", "Mars/Base", "Mars/Base"), "UTC"),
    ],
)
def test_it_is_that_of_the_environment_then_of_the_file_then_of_the_link_then_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine, expected: str
) -> None:
    variable, named, linked = machine
    if variable is None:
        monkeypatch.delenv("TZ", raising=False)
    else:
        monkeypatch.setenv("TZ", variable)
    named_in, linked_at = tmp_path / "timezone", tmp_path / "localtime"
    monkeypatch.setattr(zone, "_NAMED_IN", named_in)
    monkeypatch.setattr(zone, "_LINKED_AT", linked_at)
    if named is not None:
        named_in.write_bytes(named.encode() if isinstance(named, str) else named)
    if isinstance(linked, bytes):
        linked_at.write_bytes(linked)
    elif linked is not None:
        linked_at.symlink_to(tmp_path / "zoneinfo" / linked)

    assert host_timezone() == expected


def test_a_link_that_leads_to_itself_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    link.symlink_to(link)
    monkeypatch.setattr(zone, "_NAMED_IN", link)
    monkeypatch.setattr(zone, "_LINKED_AT", link)
    assert host_timezone() == "UTC"


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    with monkeypatch.context() as there:
        there.setenv("TZ", TOKYO)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_a_zone_that_is_named_is_the_same_wherever_the_machine_is() -> None:
    cron = Cron("0,30 2 * * *", BERLIN)
    # From 02:00 clocks go on to 03:00, at 01:00 UTC.
    before = datetime(2051, 3, 26, 0, 59, tzinfo=UTC)
    assert cron.next(before) == datetime(2051, 3, 27, 0, tzinfo=UTC)
    noon = datetime(2051, 3, 26, 12, tzinfo=UTC)
    assert Cron("0 12 * * *", "UTC").next(datetime(2051, 3, 26, 11, 59, tzinfo=UTC)) == noon
