"""Several real processes on one folder: who owns it, who takes over, and what the others see."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outlive.actors import Runtime, SyncRuntime, visitor_side
from outlive.events import (
    LmdbLog,
    LmdbReader,
    RunCompleted,
    RunNotFound,
    RunRecovered,
    RunStarted,
)
from outlive.events.lmdb_store.layout import SUBMITTED, number_key
from outlive.events.lmdb_store.sums import summed
from outlive.projections import read_run
from tests.events.lmdb_files import write_row
from tests.processes.conftest import Member
from tests.processes.member import LEASE, SHORT, agent

Make = Callable[..., Member]


def wait_until_owner(member: Member) -> None:
    while member.ask("role") != ("role", "owner"):
        continue


def events_of(folder: Path, run_id: str) -> list[object]:
    reader = LmdbReader(folder / "data")
    try:
        return [recorded.event for recorded in read_run(reader, run_id)]
    finally:
        reader.close()


def test_the_first_is_the_owner_and_the_second_a_visitor(process: Make) -> None:
    assert process().hear("open") == ("open", "owner")
    assert process().hear("open") == ("open", "visitor")


def test_one_that_must_be_the_owner_is_told_who_is(process: Make) -> None:
    first = process()
    first.hear("open")
    _, name, text = process(role="owner").hear("open")
    assert (name, f"process {first.pid}" in text) == ("LogInUse", True)


def test_a_visitor_needs_a_log_and_never_becomes_the_owner(process: Make) -> None:
    assert process(role="visitor").hear("open")[:2] == ("error", "LogNotFound")
    owner, visitor = process(), None
    owner.hear("open")
    visitor = process(role="visitor")
    assert visitor.hear("open") == ("open", "visitor")
    owner.kill()
    start = visitor.ask("start", "r", "worker", answer="started")
    assert start == ("started", "r", True)
    assert visitor.ask("role") == ("role", "visitor")


def test_a_visitor_starts_a_run_in_the_owner_and_sees_all_of_it(
    process: Make, tmp_path: Path
) -> None:
    process().hear("open")
    visitor = process(agents=False)
    visitor.hear("open")
    assert visitor.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    observed = visitor.ask("observe", "r", answer="observed")
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    assert observed[2] == list(range(1, len(events_of(tmp_path, "r")) + 1))


def test_a_visitor_gets_the_refusal_by_name(process: Make) -> None:
    process().hear("open")
    visitor = process(agents=False)
    visitor.hear("open")
    _, name, text = visitor.ask("start", "r", "nobody", answer="started")
    assert (name, "'worker'" in text) == ("AgentNotFound", True)
    assert visitor.ask("result", "r")[:2] == ("error", "RunNotFound")


def test_the_same_start_again_is_the_same_run_and_another_is_refused(
    process: Make, tmp_path: Path
) -> None:
    owner, visitor = process(), process()
    owner.hear("open")
    visitor.hear("open")
    for member in (visitor, owner, visitor):
        assert member.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    visitor.ask("result", "r")
    assert visitor.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    assert sum(isinstance(event, RunStarted) for event in events_of(tmp_path, "r")) == 1


def test_another_run_under_the_same_id_is_refused_without_an_owner_too(process: Make) -> None:
    owner = process()
    owner.hear("open")
    visitor = process(role="visitor", agents=False)
    visitor.hear("open")
    owner.ask("start", "r", "worker", answer="started")
    owner.ask("result", "r")
    owner.kill()
    assert visitor.ask("start", "r", "other", answer="started")[:2] == ("error", "RunExists")
    assert visitor.ask("start", "r", "worker", answer="started") == ("started", "r", True)


def test_a_start_waits_for_an_owner_and_is_known_meanwhile(process: Make) -> None:
    owner = process()
    owner.hear("open")
    owner.kill()
    visitor = process(role="visitor")
    visitor.hear("open")
    assert visitor.ask("start", "r", "worker", answer="started") == ("started", "r", True)
    known = ("get", "r", "submitted", "worker", "task of r")
    assert visitor.ask("get", "r") == known
    assert visitor.ask("get", "s")[:2] == ("error", "RunNotFound")
    visitor.say("result", "r")
    visitor.say("observe", "r")
    process().hear("open")
    assert visitor.hear("result") == ("result", "r", "completed")
    assert visitor.hear("observed")[2][0] == 1
    assert visitor.ask("get", "r")[:3] == ("get", "r", "completed")


def test_a_start_that_its_owner_does_not_get_to_is_submitted_after_a_while(
    process: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor_side, "PATIENCE_S", 0.05)
    owner = process(lease=600.0, slow=60.0)
    owner.hear("open")
    owner.ask("start", "first", "worker", answer="started")
    owner.hear("working")  # And nothing is being written.
    owner.freeze()  # As if something kept its loop: to the others it is alive.

    async def body() -> None:
        async with Runtime(tmp_path / "data", role="visitor") as rt:
            run = await rt.start("worker", "x", run_id="r")
            assert run.submitted
            with pytest.raises(RunNotFound):
                await rt.result("nobody")
            owner.thaw()
            waiting = asyncio.create_task(run.result())
            owner.kill()
            process().hear("open")
            assert (await waiting).status == "completed"

    asyncio.run(body())


@pytest.mark.parametrize("role", ["auto", "standby"])
def test_when_the_owner_is_killed_one_that_stands_by_takes_over(
    process: Make, tmp_path: Path, role: str
) -> None:
    owner = process(slow=60.0)
    owner.hear("open")
    # One that stands by leaves a free folder to others for as long as its own lease is.
    visitor, watcher = process(role=role, lease=SHORT), process(role="visitor")
    visitor.hear("open")
    watcher.hear("open")
    owner.ask("start", "r", "worker", answer="started")
    watcher.say("observe", "r")
    visitor.say("observe", "r")
    visitor.say("result", "r")
    owner.kill()
    assert visitor.hear("result") == ("result", "r", "completed")
    events = events_of(tmp_path, "r")
    recovered = [event for event in events if isinstance(event, RunRecovered)]
    assert [event.clean for event in recovered] == [False]
    for member in (visitor, watcher):
        _, _, versions, seen = member.hear("observed")
        assert (versions, seen) == (list(range(1, len(events) + 1)), 1)
    assert visitor.ask("role") == ("role", "owner")


def test_a_frozen_owner_is_replaced_and_lands_nothing_when_it_wakes(
    process: Make, tmp_path: Path
) -> None:
    owner = process(slow=60.0, lease=SHORT)
    owner.hear("open")
    owner.ask("start", "r", "worker", answer="started")
    owner.say("result", "r")
    owner.ask("role")  # By then it waits for the result.
    owner.hear("working")  # And nothing is being written.
    visitor = process()
    visitor.hear("open")
    owner.freeze()
    visitor.say("result", "r")
    assert visitor.hear("result") == ("result", "r", "completed")
    owner.thaw()
    # It finds out by itself, stands by from then on, and its callers get their answers.
    assert owner.hear("result") == ("result", "r", "completed")
    assert owner.ask("role") == ("role", "visitor")
    assert owner.ask("start", "s", "worker", answer="started") == ("started", "s", False)
    assert owner.ask("result", "s") == ("result", "s", "completed")
    completed = [e for e in events_of(tmp_path, "r") if isinstance(e, RunCompleted)]
    assert len(completed) == 1
    visitor.kill()
    wait_until_owner(owner)


def test_a_frozen_owner_that_must_be_the_owner_is_told(process: Make) -> None:
    owner = process(slow=60.0, role="owner", lease=SHORT)
    owner.hear("open")
    owner.ask("start", "r", "worker", answer="started")
    owner.say("result", "r")
    owner.ask("role")  # By then it waits for the result.
    owner.hear("working")  # And nothing is being written.
    visitor = process()
    visitor.hear("open")
    owner.freeze()
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    owner.thaw()
    assert owner.hear("result")[:2] == ("error", "Fenced")
    assert owner.ask("start", "s", "worker", answer="started")[:2] == ("error", "Fenced")


def test_an_owner_that_closes_hands_over_in_good_order(process: Make, tmp_path: Path) -> None:
    owner = process(slow=60.0)
    owner.hear("open")
    visitor = process()
    visitor.hear("open")
    owner.ask("start", "r", "worker", answer="started")
    owner.ask("close", answer="closed")
    assert visitor.ask("result", "r") == ("result", "r", "completed")
    recovered = [e for e in events_of(tmp_path, "r") if isinstance(e, RunRecovered)]
    assert [event.clean for event in recovered] == [True]


def test_of_many_that_stand_by_one_takes_over_again_and_again(process: Make) -> None:
    members = [process() for _ in range(4)]
    for member in members:
        member.hear("open")
    while len(members) > 1:
        owners = [m for m in members if m.ask("role") == ("role", "owner")]
        assert len(owners) <= 1
        for owner in owners:
            owner.kill()
            members.remove(owner)
    wait_until_owner(members[0])
    assert members[0].ask("start", "r", "worker", answer="started") == ("started", "r", False)


def test_who_submitted_a_start_is_told_when_a_later_owner_refuses_it(process: Make) -> None:
    owner = process()
    owner.hear("open")
    owner.kill()
    first, second, third = (process(role="visitor") for _ in range(3))
    for member in (first, second, third):
        member.hear("open")
    first.say("start and wait", "r", "worker", "one")
    assert first.hear("started") == ("started", "r", True)
    second.say("start and wait", "r", "worker", "another")
    third.say("start and wait", "s", "nobody", "one")
    assert second.hear("started") == ("started", "r", True)
    assert third.hear("started") == ("started", "s", True)
    process().hear("open")
    assert first.hear("result") == ("result", "r", "completed")
    assert second.hear("result")[:2] == ("error", "RunExists")
    assert third.hear("result")[:2] == ("error", "AgentNotFound")


def test_a_command_that_cannot_be_read_holds_up_no_other(process: Make, tmp_path: Path) -> None:
    LmdbLog(tmp_path / "data").close()
    write_row(tmp_path / "data", "inbox", number_key(500), b"\xff")
    write_row(tmp_path / "data", "meta", SUBMITTED, summed(SUBMITTED, number_key(500)))
    process().hear("open")
    visitor = process(role="visitor")
    visitor.hear("open")
    assert visitor.ask("start", "r", "worker", answer="started") == ("started", "r", False)
    assert visitor.ask("result", "r") == ("result", "r", "completed")


def test_an_owner_whose_loop_has_ended_without_a_close_makes_room(
    process: Make, tmp_path: Path
) -> None:
    async def leave() -> None:
        await Runtime(tmp_path / "data", lease=0.2).__aenter__()

    asyncio.run(leave())
    other = process()
    other.hear("open")
    wait_until_owner(other)


def test_calls_that_block_without_an_event_loop_go_on_when_the_owner_dies(
    process: Make, tmp_path: Path
) -> None:
    owner = process(slow=60.0)
    owner.hear("open")
    pipe, _ = multiprocessing.Pipe()
    with SyncRuntime(tmp_path / "data", agents=[agent(0.0, pipe)], lease=LEASE) as rt:
        run = rt.start("worker", "x", run_id="r")
        owner.hear("working")
        records = rt.subscription("mine")
        with ThreadPoolExecutor(3) as threads:
            result = threads.submit(run.result, timeout=30)
            observed = threads.submit(lambda: [e.version for e in run.events()])
            # Fewer than there are in the end.
            followed = threads.submit(lambda: [next(records).position for _ in range(5)])
            owner.kill()
            assert result.result().status == "completed"
            assert observed.result() == list(range(1, len(read_run(rt.log, "r")) + 1))
            assert followed.result() == [r.position for r in rt.log.read_all(limit=5)]
        assert rt.role == "owner"
        records.save()
        again = rt.subscription("mine")
        rt.start("worker", "y", run_id="s")
        assert next(again).position == rt.log.read_all(limit=6)[5].position
