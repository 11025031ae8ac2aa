"""Threads and heartbeats that are quarantined stay so until somebody releases them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    HeartbeatContext,
    HeartbeatHooks,
    ScriptedModel,
    SyncRuntime,
    Turn,
)
from outlive.actors.entity import PureParts
from outlive.actors.heartbeat.commands import EndFire, WakeHeartbeat
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.thread.commands import EndRun
from outlive.actors.thread.entity import THREAD
from outlive.events import HeartbeatNotFound, NotQuarantined, NotSuspended, Refused, ThreadNotFound
from outlive.projections import HeartbeatInfo
from outlive.testing import Simulation

Breaks = Callable[[PureParts[Any, Any, Any, Any], type[Any]], list[BaseException]]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Breaks:
    """Have deciding about a kind of command raise what is put into a list."""

    def patched(entity: PureParts[Any, Any, Any, Any], kind: type[Any]) -> list[BaseException]:
        errors: list[BaseException] = []
        decide = entity.decide

        def decide_badly(state: Any, command: Any) -> Any:
            if isinstance(command, kind) and errors:
                raise errors.pop()
            return decide(state, command)

        monkeypatch.setattr(entity, "decide", decide_badly)
        return errors

    return patched


def heartbeat(sim: Simulation) -> HeartbeatInfo:
    return sim.run(lambda rt: rt.heartbeats.get("h"))


@pytest.mark.parametrize("crash", [False, True], ids=["", "killed"])
def test_a_heartbeat_stays_quarantined_whatever_it_is_told_until_it_is_released(
    breaks: Breaks, crash: bool
) -> None:
    errors = breaks(HEARTBEAT, WakeHeartbeat)
    slow = Agent("slow", model=ScriptedModel(lambda _: Turn("done", delay=100)))
    with Simulation([slow]) as sim:
        sim.run(lambda rt: rt.heartbeats.create(id="h", agent_id="slow", every=60, prompt="p"))
        with pytest.raises(NotQuarantined, match="heartbeat 'hb_h' is not quarantined: it is act"):
            sim.run(lambda rt: rt.heartbeats.release("h"))
        sim.advance(70)
        errors += [ValueError("a bug")] * 5
        sim.advance(80)
        assert (heartbeat(sim).status, heartbeat(sim).running) == ("quarantined", 1)
        assert "a bug" in heartbeat(sim).reason
        sim.advance(40)  # Its run is over.
        if crash:
            sim.crash()
        assert (heartbeat(sim).status, heartbeat(sim).running) == ("quarantined", 0)
        sim.advance(200)
        assert heartbeat(sim).fires == 1
        assert sim.run(lambda rt: rt.heartbeats.release("h"))
        sim.advance(1)
        assert (heartbeat(sim).status, heartbeat(sim).fires) == ("active", 2)
        with pytest.raises(NotQuarantined):
            sim.run(lambda rt: rt.heartbeats.release("h"))
        sim.run(lambda rt: rt.heartbeats.delete("h"))
        sim.advance(200)
        with pytest.raises(NotQuarantined, match="it is deleted"):
            sim.run(lambda rt: rt.heartbeats.release("h"))
        with pytest.raises(HeartbeatNotFound):
            sim.run(lambda rt: rt.heartbeats.release("other"))


@pytest.mark.parametrize("agents", [1, 0], ids=["", "unknown"])
def test_one_that_is_told_something_meanwhile_is_released_all_the_same(
    breaks: Breaks, agents: int
) -> None:
    errors = breaks(HEARTBEAT, WakeHeartbeat)
    slow = Agent("slow", model=ScriptedModel(lambda _: Turn("done", delay=100)))
    ended: list[str] = []

    async def ends(context: HeartbeatContext) -> None:
        await asyncio.sleep(60)
        ended.append(context.trigger.id)

    here = [slow]
    hooks = HeartbeatHooks(on_finish=ends, on_abort=ends)
    with Simulation(lambda _: here, heartbeat_hooks=hooks) as sim:
        sim.run(lambda rt: rt.heartbeats.create(id="h", agent_id="slow", every=60, prompt="p"))
        sim.advance(70)
        errors += [ValueError("a bug")] * 5
        sim.advance(80)
        del here[agents:]
        if not agents:
            sim.crash()
            sim.advance(10)
            assert heartbeat(sim).status == "quarantined"
            sim.run(lambda rt: rt.cancel("hb_h:1"))
        sim.advance(20)  # Its run is over, and a hook is told of it.
        assert (heartbeat(sim).status, heartbeat(sim).running) == ("quarantined", 0)
        with pytest.raises(NotSuspended, match="quarantined"):
            sim.run(lambda rt: rt.heartbeats.run("h"))
        assert sim.run(lambda rt: rt.heartbeats.release("h"))
        with pytest.raises(NotQuarantined):
            sim.run(lambda rt: rt.heartbeats.release("h"))
        sim.advance(60)
        assert ended == ["hb_h:1"]
        if agents:
            assert (heartbeat(sim).status, heartbeat(sim).fires) == ("active", 2)
        else:
            assert (heartbeat(sim).status, heartbeat(sim).fires) == ("blocked", 1)


def test_a_process_that_dies_while_one_is_told_something_does_not_release_it(
    breaks: Breaks,
) -> None:
    errors = breaks(HEARTBEAT, WakeHeartbeat)
    slow = Agent("slow", model=ScriptedModel(lambda _: Turn("done", delay=100)))

    async def waits(_: HeartbeatContext) -> None:
        await asyncio.sleep(60)

    with Simulation([slow], heartbeat_hooks=HeartbeatHooks(on_finish=waits)) as sim:
        sim.run(lambda rt: rt.heartbeats.create(id="h", agent_id="slow", every=60, prompt="p"))
        sim.advance(70)
        errors += [ValueError("a bug")] * 5
        sim.advance(80)
        reason = heartbeat(sim).reason
        sim.advance(20)  # Its run is over, and a hook is told of it.
        sim.crash()
        sim.advance(200)
        info = heartbeat(sim)
        assert (info.status, info.reason, info.fires) == ("quarantined", reason, 1)


def test_one_that_fails_at_what_it_is_told_is_not_released_by_that(breaks: Breaks) -> None:
    errors, more = breaks(HEARTBEAT, WakeHeartbeat), breaks(HEARTBEAT, EndFire)
    slow = Agent("slow", model=ScriptedModel(lambda _: Turn("done", delay=100)))
    with Simulation([slow]) as sim:
        sim.run(lambda rt: rt.heartbeats.create(id="h", agent_id="slow", every=60, prompt="p"))
        sim.advance(70)
        errors += [ValueError("a bug")] * 5
        sim.advance(80)
        more += [ValueError("another one")] * 3
        sim.advance(11)  # Its run is over, and cannot tell it so.
        reason = heartbeat(sim).reason
        assert (heartbeat(sim).status, heartbeat(sim).running) == ("quarantined", 1)
        sim.advance(200)
        info = heartbeat(sim)
        assert (info.status, info.running, info.fires) == ("quarantined", 0, 1)
        assert info.reason == reason
        assert "a bug" in reason
        assert not more


def test_one_without_its_agent_stays_quarantined_whatever_it_is_told(breaks: Breaks) -> None:
    errors = breaks(HEARTBEAT, WakeHeartbeat)
    slow = Agent("slow", model=ScriptedModel(lambda _: Turn("done", delay=100)))
    here = [slow]
    with Simulation(lambda _: here) as sim:
        sim.run(lambda rt: rt.heartbeats.create(id="h", agent_id="slow", every=60, prompt="p"))
        sim.advance(70)
        errors += [ValueError("a bug")] * 5
        sim.advance(80)
        here.clear()
        sim.crash()
        sim.run(lambda rt: rt.cancel("hb_h:1"))
        sim.advance(10)
        assert (heartbeat(sim).status, heartbeat(sim).running) == ("quarantined", 0)
        here.append(slow)
        sim.crash()
        sim.advance(100)
        assert heartbeat(sim).status == "quarantined"


@pytest.mark.parametrize("crash", [False, True], ids=["", "killed"])
def test_a_thread_goes_on_with_what_waits_on_it_once_it_is_released(
    breaks: Breaks, crash: bool
) -> None:
    errors = breaks(THREAD, EndRun)
    with Simulation([Agent("echo", model=EchoModel())]) as sim:

        async def start(rt: Any, text: str) -> str:
            run = await rt.start("echo", text, thread_id="t", resource_id="u")
            return str(run.id)

        errors += [ValueError("a bug")] * 5
        sim.run(lambda rt: start(rt, "one"))
        second = sim.run(lambda rt: start(rt, "two"))
        sim.advance(30)
        thread = sim.run(lambda rt: rt.threads.get("t"))
        assert thread.status == "quarantined"
        assert "a bug" in thread.reason
        if crash:
            sim.crash()
        with pytest.raises(Refused, match="quarantined"):
            sim.run(lambda rt: start(rt, "three"))
        assert sim.run(lambda rt: rt.threads.release("t"))
        assert sim.run(lambda rt: rt.result(second)).output == "two"
        sim.advance(1)
        with pytest.raises(NotQuarantined, match="thread 't' is not quarantined: it is idle"):
            sim.run(lambda rt: rt.threads.release("t"))
        with pytest.raises(ThreadNotFound):
            sim.run(lambda rt: rt.threads.release("other"))


def test_without_an_event_loop() -> None:
    with SyncRuntime(None, agents=[Agent("echo", model=EchoModel())]) as rt:
        rt.heartbeats.create(id="h", agent_id="echo", every=60, prompt="p")
        rt.threads.create(thread_id="t", resource_id="u")
        with pytest.raises(NotQuarantined):
            rt.heartbeats.release("h")
        with pytest.raises(NotQuarantined):
            rt.threads.release("t")
