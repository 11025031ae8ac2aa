"""Threads that several processes talk on, and whose owner dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.processes.conftest import Member

Make = Callable[..., Member]
SOMEBODY = {"resource_id": "u"}


def opened(process: Make, **options: Any) -> Member:
    member = process(**options)
    member.hear("open")
    return member


def start(member: Member, run_id: str, **more: Any) -> tuple[Any, ...]:
    return member.ask("start on", run_id, "t", {**SOMEBODY, **more}, answer="started")


def signal(member: Member, said: str, **more: Any) -> tuple[Any, ...]:
    return member.ask("signal", said, "t", {"type": "user", **more}, answer="signalled")


def test_a_visitor_talks_on_a_thread_as_the_owner_does(process: Make) -> None:
    owner = opened(process, slow=600.0)
    visitor = opened(process, role="visitor", agents=False)
    assert start(visitor, "one") == ("started", "one", False)
    assert start(visitor, "two", on_busy="deliver") == ("started", "one", False)
    assert signal(visitor, "three", idempotency_key="k") == ("signalled", "delivered", "one")
    assert signal(visitor, "three", idempotency_key="k") == ("signalled", "delivered", "one")
    exists = signal(visitor, "else", idempotency_key="k")
    assert exists[:2] == ("error", "SignalExists")
    busy = {"thread_id": "t", "run_id": "one"}
    assert start(visitor, "four", on_busy="reject") == ("error", "ThreadBusy", busy)
    other = {"thread_id": "t", "resource_id": "v"}
    assert start(visitor, "four", resource_id="v") == ("error", "OtherResource", other)
    assert start(visitor, "one", on_busy="queue") == ("started", "one", False)
    unknown = visitor.ask("signal", "x", "x", {}, answer="signalled")
    assert unknown == ("error", "ThreadNotFound", {"thread_id": "x"})
    owner.say("go on")
    assert visitor.ask("said", "t") == ("said", ["one", "two", "three"])


def test_what_is_signalled_without_an_owner_waits_for_the_next_one(process: Make) -> None:
    owner = opened(process)
    visitor = opened(process, role="visitor", agents=False)
    owner.kill()
    woken = signal(visitor, "one", agent="worker", **SOMEBODY)
    assert woken == ("signalled", "submitted", None)
    assert start(visitor, "two") == ("started", "two", True)
    assert visitor.ask("get", "two")[2] == "submitted"
    visitor.say("result", "two")
    opened(process)
    assert visitor.hear("result")[2] == "completed"
    assert visitor.ask("said", "t") == ("said", ["one", "two"])


def test_what_was_signalled_before_a_kill_is_read_once_after_it(process: Make) -> None:
    owner = opened(process, slow=30.0)
    other = opened(process)
    start(owner, "one")
    owner.hear("working")
    start(owner, "two")
    assert signal(owner, "three", idempotency_key="k") == ("signalled", "delivered", "one")
    owner.kill()
    other.say("result", "two")
    signal(other, "three", idempotency_key="k")  # a repeat, whoever takes it
    assert other.hear("result") == ("result", "two", "completed")
    assert other.ask("said", "t") == ("said", ["one", "three", "two"])
