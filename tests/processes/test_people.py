"""People speak to a run from another process: done once, also without an owner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    Event,
    LmdbReader,
    RunCancelled,
    RunResumed,
    ToolCallStarted,
)
from outlive.projections import read_run
from tests.processes.conftest import Member
from tests.processes.member import SHORT

Make = Callable[..., Member]


def events_of(folder: Path, kind: type[Event]) -> list[Any]:
    reader = LmdbReader(folder / "data")
    try:
        return [each.event for each in read_run(reader, "r") if isinstance(each.event, kind)]
    finally:
        reader.close()


def suspended(process: Make) -> tuple[Member, Member]:
    """Return an owner with a run that waits, and a visitor without agents."""
    owner = process()
    owner.hear("open")
    visitor = process(role="visitor", agents=False)
    visitor.hear("open")
    assert visitor.ask("start", "r", "asking", answer="started")[0] == "started"
    assert visitor.ask("result", "r") == ("result", "r", "suspended")
    return owner, visitor


def steer(member: Member, how: str, *values: Any, run: str = "r", **more: Any) -> Any:
    return member.ask("steer", how, run, *values, more, answer="steered")


def test_what_is_said_elsewhere_is_done_once_by_the_owner(process: Make, tmp_path: Path) -> None:
    _, visitor = suspended(process)
    waiting = visitor.ask("pending")
    assert waiting == ("pending", [("0.1", "approval"), ("0.0/how many", "suspension")])
    for _ in range(2):
        done = steer(visitor, "resume", 3, suspension="how many", by="me")
        assert done == ("steered", "resume", True)
    assert visitor.ask("result", "r") == ("result", "r", "suspended")
    for _ in range(2):
        approved = steer(visitor, "approve", "0.1", args={"text": "two"}, by="me")
        assert approved == ("steered", "approve", True)
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    (resumed,) = events_of(tmp_path, RunResumed)
    assert (resumed.value, resumed.by) == (3, "me")
    (granted,) = events_of(tmp_path, ApprovalGranted)
    assert (granted.arguments, granted.by) == ({"text": "two"}, "me")
    assert len(events_of(tmp_path, ToolCallStarted)) == 3


def test_cancelled_from_elsewhere(process: Make, tmp_path: Path) -> None:
    _, visitor = suspended(process)
    for _ in range(2):
        assert steer(visitor, "cancel", reason="no") == ("steered", "cancel", True)
    assert visitor.ask("result", "r") == ("result", "r", "cancelled")
    assert visitor.ask("get", "r")[:3] == ("get", "r", "cancelled")
    assert [event.reason for event in events_of(tmp_path, RunCancelled)] == ["no"]


def test_a_tool_that_runs_is_cancelled_from_elsewhere(process: Make) -> None:
    owner = process(slow=3_600.0)
    owner.hear("open")
    visitor = process(role="visitor", agents=False)
    visitor.hear("open")
    visitor.ask("start", "r", "worker", answer="started")
    owner.hear("working")
    assert steer(visitor, "cancel") == ("steered", "cancel", True)
    assert visitor.ask("result", "r") == ("result", "r", "cancelled")


MINE: dict[str, Any] = {"run_id": "r", "kind": "run"}
REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any], str, dict[str, Any]]] = [
    (
        "resume",
        (3,),
        {},
        "AmbiguousSuspension",
        {**MINE, "names": ("0.0/how many", "0.1")},
    ),
    (
        "resume",
        (3,),
        {"suspension": "how far"},
        "SuspensionNotFound",
        {**MINE, "suspension": "how far", "names": ("0.0/how many", "0.1")},
    ),
    (
        "resume",
        ("three",),
        {"suspension": "how many"},
        "InvalidResumeValue",
        {**MINE, "suspension": "0.0/how many", "reason": "Expected `int`, got `str`"},
    ),
    (
        "approve",
        ("0.0",),
        {},
        "SuspensionNotFound",
        {**MINE, "suspension": "0.0", "names": ("0.0/how many", "0.1")},
    ),
    ("resume", (3,), {"run": "nobody"}, "RunNotFound", {"run_id": "nobody"}),
]


@pytest.mark.parametrize("alive", [True, False], ids=["", "no owner"])
def test_refusals_arrive_as_what_they_are(process: Make, alive: bool) -> None:
    owner, visitor = suspended(process)
    if not alive:
        owner.kill()
    for how, values, more, name, facts in REFUSED:
        assert steer(visitor, how, *values, **more) == ("error", name, facts)
    _, name, facts = steer(visitor, "approve", "0.1", digest="other")
    assert (name, facts["call_id"], facts["expected"]) == ("ArgumentsChanged", "0.1", "other")
    assert facts["actual"] not in ("", "other")


def test_decided_and_over_is_told_elsewhere_too(process: Make, tmp_path: Path) -> None:
    _, visitor = suspended(process)
    assert steer(visitor, "decline", "0.1", reason="no") == ("steered", "decline", True)
    decided = {"run_id": "r", "call_id": "0.1", "decision": "denied"}
    assert steer(visitor, "approve", "0.1") == ("error", "AlreadyDecided", decided)
    assert steer(visitor, "resume", 3) == ("steered", "resume", True)
    resumed = {**MINE, "suspension": "0.0/how many"}
    again = steer(visitor, "resume", 4, suspension="how many")
    assert again == ("error", "AlreadyResumed", resumed)
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    over = {**MINE, "status": "completed"}
    assert steer(visitor, "cancel") == ("error", "AlreadyOver", over)
    assert steer(visitor, "resolve", "0.9", retry=True) == ("error", "NotSuspended", over)
    assert [event.reason for event in events_of(tmp_path, ApprovalDenied)] == ["no"]


def test_without_an_owner_it_waits_and_is_carried_out_by_the_next(
    process: Make, tmp_path: Path
) -> None:
    owner, visitor = suspended(process)
    owner.kill()
    for _ in range(2):
        waits = steer(visitor, "resume", 3, suspension="how many")
        assert waits == ("steered", "resume", False)
    assert steer(visitor, "approve", "0.1") == ("steered", "approve", False)
    assert visitor.ask("result", "r") == ("result", "r", "suspended")
    visitor.say("observe", "r")
    process().hear("open")
    assert visitor.hear("observed")[0] == "observed"
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    assert len(events_of(tmp_path, RunResumed)) == 1
    assert len(events_of(tmp_path, ApprovalGranted)) == 1


def test_an_owner_that_wakes_up_and_was_replaced_refuses_by_what_the_run_is_now(
    process: Make,
) -> None:
    frozen = process(slow=3_600.0, lease=SHORT)
    frozen.hear("open")
    assert frozen.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    frozen.hear("working")
    other = process(slow=3_600.0)
    other.hear("open")
    frozen.freeze()
    other.hear("working")
    assert steer(other, "cancel") == ("steered", "cancel", True)
    for call_id in ("0.0", "7.7"):  # It has them before it knows that it is the owner no more.
        frozen.say("steer", "approve", "r", call_id, {})
    frozen.thaw()
    over = {**MINE, "status": "cancelled"}
    for _ in range(2):
        assert frozen.hear("steered") == ("error", "NotSuspended", over)


def test_cancelled_without_an_owner_it_never_goes_on(process: Make, tmp_path: Path) -> None:
    owner = process(slow=3_600.0)
    owner.hear("open")
    visitor = process(role="visitor", agents=False)
    visitor.hear("open")
    visitor.ask("start", "r", "worker", answer="started")
    owner.hear("working")
    owner.kill()
    assert steer(visitor, "cancel", reason="no") == ("steered", "cancel", False)
    process().hear("open")
    assert visitor.ask("result", "r") == ("result", "r", "cancelled")
    assert len(events_of(tmp_path, RunCancelled)) == 1


def test_an_answer_may_wait_for_its_run_to_be_begun(process: Make) -> None:
    owner = process()
    owner.hear("open")
    owner.kill()
    visitor = process(role="visitor", agents=False)
    visitor.hear("open")
    assert visitor.ask("start", "r", "worker", answer="started") == ("started", "r", True)
    assert steer(visitor, "cancel") == ("steered", "cancel", False)
    process().hear("open")
    assert visitor.ask("result", "r") == ("result", "r", "cancelled")
