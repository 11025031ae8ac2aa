"""Processes that share a folder are killed at each point there is between them.

Points of appends and batches are those of one process: tests/events/test_failpoint_kills.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from outlive.events import LmdbReader, Position, RunCompleted, RunStarted, failpoints
from outlive.projections import read_run
from tests.events.test_failpoint_kills import HERE
from tests.processes.conftest import Member
from tests.processes.member import LEASE, SHORT

Make = Callable[..., Member]


def points(group: str) -> list[str]:
    return [name for name in failpoints.NAMES if name.startswith(f"{group}.")]


def opened(make: Make, **options: object) -> Member:
    member = make(**options)
    assert member.hear("open")[0] == "open"
    return member


def check_once(folder: Path, run_id: str) -> None:
    """The run was started once and came to its end once; nothing is left to do."""
    reader = LmdbReader(folder / "data")
    events = [recorded.event for recorded in read_run(reader, run_id)]
    assert [type(event) for event in events].count(RunStarted) == 1
    assert [type(event) for event in events].count(RunCompleted) == 1
    assert reader.open_entries() == []
    assert reader.submitted() == []
    epochs = [record.epoch for record in reader.read_all(after=Position(0))]
    assert epochs == sorted(epochs)
    reader.close()


def test_each_group_of_points_has_a_test() -> None:
    groups = {name.partition(".")[0] for name in failpoints.NAMES}
    assert groups == {*HERE, "command", "owner", "offset", "view"}


@pytest.mark.parametrize("point", points("command"))
def test_a_visitor_that_dies_while_it_asks_is_obeyed_once_or_not_at_all(
    process: Make, tmp_path: Path, point: str
) -> None:
    opened(process)
    visitor = opened(process, role="visitor", die_at=(point, 1))
    visitor.say("start", "r", "worker")
    visitor.wait_for_death()
    other = opened(process, role="visitor")
    answer = other.ask("result", "r")
    assert answer == ("result", "r", "completed") or (
        point == "command.put" and answer[1] == "RunNotFound"
    )
    assert other.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    assert other.ask("result", "r") == ("result", "r", "completed")
    check_once(tmp_path, "r")


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", points("batch"))
def test_an_owner_that_dies_with_a_command_in_its_hands_leaves_it_to_the_next(
    process: Make, tmp_path: Path, point: str, nth: int
) -> None:
    owner = opened(process, die_at=(point, nth))
    visitor = opened(process)
    visitor.say("start", "r", "worker")
    owner.wait_for_death()
    assert visitor.hear("started")[:2] == ("started", "r")
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    check_once(tmp_path, "r")


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", points("batch"))
def test_a_refusal_is_told_whoever_dies(
    process: Make, tmp_path: Path, point: str, nth: int
) -> None:
    owner = opened(process)
    assert owner.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    owner.ask("result", "r")
    owner.ask("close", answer="closed")
    owner = opened(process, die_at=(point, nth))
    visitor = opened(process)
    visitor.say("start", "r", "nobody")
    if nth == 1:
        owner.wait_for_death()
    # An owner looks at the agent first; while there is none, only the run's log can tell.
    refusals = (("error", "AgentNotFound"), ("error", "RunExists"))
    assert visitor.hear("started")[:2] in (*refusals, ("started", "r"))
    visitor.say("start", "s", "worker")
    assert visitor.hear("started")[:2] == ("started", "s")
    assert visitor.ask("result", "s") == ("result", "s", "completed")


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("point", points("owner"))
def test_one_that_dies_while_it_takes_over_leaves_that_to_the_next(
    process: Make, tmp_path: Path, point: str, frozen: bool
) -> None:
    owner = opened(process, slow=60.0, lease=SHORT if frozen else LEASE)
    owner.ask("start", "r", "worker", answer="started")
    owner.hear("working")
    unlucky = opened(process, die_at=(point, 1))
    if frozen:
        owner.freeze()
    else:
        owner.kill()
    unlucky.wait_for_death()
    third = opened(process)
    assert third.ask("result", "r") == ("result", "r", "completed")
    if frozen:
        owner.thaw()
        assert owner.ask("result", "r") == ("result", "r", "completed")
        while owner.ask("role") != ("role", "visitor"):
            continue
    check_once(tmp_path, "r")
    left = {entry.name for entry in (tmp_path / "data").iterdir()}
    assert left <= {"log", "log.json", "owner.lock", "wake", "views", "offsets"}


@pytest.mark.parametrize("point", points("owner"))
def test_one_that_dies_while_it_makes_a_log_leaves_it_to_the_next(
    process: Make, tmp_path: Path, point: str
) -> None:
    process(die_at=(point, 1)).wait_for_death()
    owner = opened(process)
    assert owner.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    owner.ask("result", "r")
    check_once(tmp_path, "r")


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", points("offset"))
def test_a_subscription_goes_on_where_it_was_saved(process: Make, point: str, nth: int) -> None:
    owner = opened(process)
    owner.ask("start", "r", "worker", answer="started")
    owner.ask("result", "r")
    reader = opened(process, role="visitor", die_at=(point, nth))
    reader.say("save", "mailer", 5)
    reader.wait_for_death()
    told = [message[1] for message in reader.heard() if message[0] == "saved"]
    assert told == list(range(1, nth))
    next_one = owner.ask("save", "mailer", 1, answer="saved")[1]
    assert next_one == (nth if point == "offset.put" else nth + 1)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", points("view"))
def test_a_view_is_what_the_log_folds_to(process: Make, point: str, nth: int) -> None:
    owner = opened(process, die_at=(point, nth))
    number = 0
    while True:  # Each look has the view committed, sooner or later.
        number += 1
        with suppress(OSError):  # It may be dead already.
            owner.say("start", f"r{number}", "worker")
            owner.say("list")
        try:
            owner.wait_for_death(0.05)
        except TimeoutError:
            continue
        break
    other = opened(process)
    answer = other.ask("list")[1]
    known = {run_id for run_id, _ in answer}
    for run_id in sorted(known):
        assert other.ask("result", run_id) == ("result", run_id, "completed")
    assert other.ask("list")[1] == [(run_id, "completed") for run_id in sorted(known)]
    for message in owner.heard():
        if message[0] == "started":
            assert message[1] in known
