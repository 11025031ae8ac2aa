"""What is said to threads and runs while they work, rest, or are over."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    IfActive,
    IfIdle,
    ModelRequest,
    Runtime,
    ScriptedModel,
    SignalAccepted,
    SyncRuntime,
    ToolCall,
    ToolContext,
    Turn,
    UntilIdle,
    tool,
)
from outlive.actors.run.commands import CancelRun, TellRun
from outlive.events import (
    AgentNotFound,
    InvalidSignal,
    MessageId,
    ModelCallStarted,
    NobodyAnswers,
    Refused,
    RunNotFound,
    RunOver,
    RunSignalled,
    RunStarted,
    SignalExists,
    ThreadNotFound,
    ThreadPlace,
    run_stream,
    thread_stream,
)
from outlive.events.signals import new_signal
from outlive.testing import Simulation, given
from tests.support.machine import Machine
from tests.support.threads import Heard, ask, echo, said_on, texts

TOLD = "<notification>look</notification>"


async def tell(rt: Runtime, said: str = "look", **how: Any) -> SignalAccepted:
    fields: dict[str, Any] = {"thread_id": "t", **how}
    return await rt.signal(said, **fields)


def test_the_active_run_reads_a_signal_with_its_next_model_call() -> None:
    heard: Heard = []

    async def deliver(rt: Runtime) -> tuple[SignalAccepted, list[str]]:
        await ask(rt, "one")
        accepted = await tell(rt, tag_name="seen", attributes={"by": "<me>"})
        return accepted, await said_on(rt)

    accepted, said = Machine().run(deliver, echo(heard))
    assert (accepted.action, accepted.run_id) == ("delivered", "one")
    shown = '<seen by="&lt;me&gt;">look</seen>'
    assert heard == [["one"], ["one", "answer 1", shown]]
    assert said == ["one", "answer 1", shown, "answer 2"]


def test_a_signal_between_a_call_and_its_answer_is_read_after_the_answer() -> None:
    @tool(read_only=True)
    async def wait() -> str:
        await asyncio.sleep(2)
        return "waited"

    heard: Heard = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        return Turn("done") if request.step else Turn(tool_calls=[ToolCall("wait")])

    async def deliver(rt: Runtime) -> None:
        run = await ask(rt, "one")
        await asyncio.sleep(1)
        await tell(rt)
        await run.result()

    Machine().run(deliver, Agent("a", model=ScriptedModel(answer), tools=[wait]))
    assert heard[1] == ["one", "", "waited", TOLD]


def test_an_idle_thread_is_woken() -> None:
    heard: Heard = []
    contexts: list[dict[str, Any]] = []

    @tool(read_only=True)
    async def look(ctx: ToolContext) -> str:
        contexts.append(ctx.request_context)
        return "seen"

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        contexts.append(request.provider_options)
        return Turn("done") if request.step else Turn(tool_calls=[ToolCall("look")])

    async def wake(rt: Runtime) -> tuple[SignalAccepted, str]:
        accepted = await tell(
            rt,
            resource_id="u",
            agent="a",
            if_idle=IfIdle(attributes={"n": 2}, request_context={"user": 7}),
            attributes={"n": 1},
            provider_options={"effort": "low"},
        )
        assert accepted.run_id is not None
        result = await rt.result(accepted.run_id)
        return accepted, result.output

    accepted, output = Machine().run(wake, Agent("a", model=ScriptedModel(answer), tools=[look]))
    assert (accepted.action, output) == ("woken", "done")
    assert heard[0] == ['<notification n="2">look</notification>']
    assert contexts == [{"effort": "low"}, {"user": 7}, {"effort": "low"}]


def test_provider_options_of_what_is_delivered_hold_from_the_next_call_on() -> None:
    options: list[dict[str, Any]] = []

    def answer(request: ModelRequest) -> Turn:
        options.append(request.provider_options)
        return Turn("so", delay=1.0)

    async def deliver(rt: Runtime) -> None:
        run = await ask(rt, "one", provider_options={"effort": "high", "seed": 1})
        await tell(rt, provider_options={"effort": "low"})
        await run.result()

    Machine().run(deliver, Agent("a", model=ScriptedModel(answer)))
    assert options == [{"effort": "high", "seed": 1}, {"effort": "low", "seed": 1}]


def test_what_is_persisted_is_read_by_the_next_run_and_what_is_discarded_by_none() -> None:
    heard: Heard = []

    async def keep(rt: Runtime) -> list[str]:
        await rt.threads.create(resource_id="u", thread_id="t")
        actions = [
            (await tell(rt, "a", if_idle=IfIdle("persist"))).action,
            (await tell(rt, "b", if_idle=IfIdle("discard"))).action,
        ]
        await ask(rt, "one")
        actions += [
            (await tell(rt, "c", if_active=IfActive("persist", attributes={"n": 1}))).action,
            (await tell(rt, "d", if_active=IfActive("discard"))).action,
        ]
        await ask(rt, "two")
        await rt.result("two")
        return [str(action) for action in actions]

    kept = ["persisted", "discarded", "persisted", "discarded"]
    assert Machine().run(keep, echo(heard)) == kept
    noted, other = "<notification>a</notification>", '<notification n="1">c</notification>'
    assert heard == [[noted, "one"], [noted, other, "one", "answer 1", "two"]]


def test_a_signal_for_another_agent_waits_its_turn() -> None:
    heard: Heard = []

    async def wait(rt: Runtime) -> tuple[SignalAccepted, list[str]]:
        await ask(rt, "one")
        accepted = await tell(rt, agent="b")
        assert (await rt.threads.get("t")).queued == (accepted.run_id,)
        return accepted, await said_on(rt)

    other = Agent("b", model=ScriptedModel([Turn("b has seen it")]))
    accepted, said = Machine().run(wait, echo(heard), other)
    assert accepted.action == "queued"
    assert said == ["one", "answer 1", TOLD, "b has seen it"]


def test_a_suspended_run_reads_a_signal_when_it_goes_on() -> None:
    @tool(read_only=True)
    async def consult(ctx: ToolContext) -> str:
        return str(await ctx.suspend("which"))

    heard: Heard = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        return Turn("done") if request.step else Turn(tool_calls=[ToolCall("consult")])

    async def suspend(rt: Runtime) -> SignalAccepted:
        run = await ask(rt, "one")
        assert (await run.result()).status == "suspended"
        accepted = await tell(rt)
        assert (await rt.signal("and this", run_id="one")).action == "queued"
        row = rt.log.open_entry(run_stream("one"))
        assert row is not None
        assert len(json.loads(row.summary["unread"])) == 2
        await rt.resume("one", "this one")
        assert (await run.result()).status == "completed"
        return accepted

    accepted = Machine().run(suspend, Agent("a", model=ScriptedModel(answer), tools=[consult]))
    assert (accepted.action, accepted.run_id) == ("queued", "one")
    assert heard[1] == ["one", "", "this one", TOLD, "<notification>and this</notification>"]


def test_a_run_that_waits_for_its_tasks_is_woken_by_a_signal() -> None:
    @tool(read_only=True, background=True)
    async def crawl() -> str:
        await asyncio.sleep(60)
        return "crawled"

    heard: Heard = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        return Turn(f"so {request.step}") if request.step else Turn(tool_calls=[ToolCall("crawl")])

    async def wake(rt: Runtime) -> str:
        run = await ask(rt, "one", until_idle=UntilIdle(react="all"))
        await asyncio.sleep(5)
        assert (await rt.runs.get("one")).status == "waiting"
        assert (await tell(rt)).action == "delivered"
        await asyncio.sleep(5)
        assert (await rt.runs.get("one")).status == "waiting"
        return (await run.result()).output

    assert Machine().run(wake, Agent("a", model=ScriptedModel(answer), tools=[crawl])) == "so 3"
    assert heard[2][-1] == TOLD
    assert "crawled" in heard[3][-1]


def test_what_is_transient_is_shown_and_not_kept() -> None:
    heard: Heard = []

    async def show(rt: Runtime) -> list[str]:
        woken = await tell(rt, "a", resource_id="u", agent="a", transient=True)
        await tell(rt, "b", transient=True)
        assert woken.run_id is not None
        await rt.result(woken.run_id)
        return await said_on(rt)

    said = Machine().run(show, echo(heard))
    assert heard[1] == [
        "<notification>a</notification>",
        "answer 1",
        "<notification>b</notification>",
    ]
    assert said == ["answer 1", "answer 2"]


def test_a_message_is_sent_now_or_after_the_active_run() -> None:
    heard: Heard = []

    async def send(rt: Runtime) -> tuple[list[str], list[str]]:
        actions = [
            (await rt.queue_message("one", thread_id="t", resource_id="u", agent="a")).action,
            (await rt.queue_message("three", thread_id="t")).action,
            (await rt.send_message("two", thread_id="t")).action,
        ]
        return [str(action) for action in actions], await said_on(rt)

    actions, said = Machine().run(send, echo(heard))
    assert actions == ["woken", "queued", "delivered"]
    assert said == ["one", "answer 1", "two", "answer 2", "three", "answer 3"]


def test_a_signal_that_is_repeated_by_its_key_is_read_once() -> None:
    async def repeat(rt: Runtime) -> list[str]:
        first = await tell(rt, resource_id="u", agent="a", idempotency_key="k")
        for _ in range(2):
            again = await tell(rt, resource_id="u", agent="a", idempotency_key="k")
            assert again == first
            await said_on(rt)
        with pytest.raises(SignalExists):
            await tell(rt, "something else", idempotency_key="k")
        return await said_on(rt)

    assert Machine().run(repeat, echo([])) == [TOLD, "answer 1"]


def test_a_signal_that_waits_too_long_is_dropped_and_can_be_taken_back() -> None:
    machine = Machine()

    async def wait(rt: Runtime) -> list[str]:
        await ask(rt, "one")
        await rt.queue_message("two", thread_id="t", expires=0.5)
        three = await rt.queue_message("three", thread_id="t", expires=30)
        four = await rt.queue_message("four", thread_id="t")
        assert three.run_id is not None
        assert four.run_id is not None
        await asyncio.sleep(0.6)
        assert (await rt.threads.get("t")).queued == (three.run_id, four.run_id)
        assert await rt.threads.cancel_queued("t", four.run_id)
        return await said_on(rt)

    assert machine.run(wait, echo([])) == ["one", "answer 1", "three", "answer 2"]


def test_a_signal_to_one_run_is_read_by_that_run() -> None:
    machine, heard = Machine(), Heard()

    async def signal(rt: Runtime) -> None:
        run = await rt.start("a", "one", run_id="one")
        accepted = await rt.signal("look", run_id="one", idempotency_key="k")
        assert (accepted.action, accepted.run_id) == ("delivered", "one")
        assert await rt.signal("look", run_id="one", idempotency_key="k") == accepted
        await run.result()
        with pytest.raises(RunOver):
            await rt.signal("too late", run_id="one")
        with pytest.raises(RunNotFound):
            await rt.signal("look", run_id="two")

    machine.run(signal, echo(heard))
    assert heard == [["one"], ["one", "answer 1", TOLD]]
    assert len([one for one in machine.events("one") if isinstance(one, RunSignalled)]) == 1


def test_a_run_that_is_about_to_begin_can_be_told_at_once() -> None:
    slow = Agent("a", model=ScriptedModel(lambda _: Turn("so", delay=50.0)))

    async def tell(rt: Runtime) -> list[str]:
        woken = await rt.signal("wake up", thread_id="t", resource_id="u", agent="a")
        told = [await rt.signal("more", run_id=woken.run_id)]
        asked = await rt.start("a", "x", thread_id="s", resource_id="u")
        told.append(await rt.signal("more", run_id=asked.id))
        await rt.heartbeats.create(id="h", agent_id="a", every=1_000, prompt="p")
        told.append(await rt.signal("more", run_id=await rt.heartbeats.run("h")))
        return [one.action for one in told]

    for seed in range(5):
        with Simulation(lambda _: [slow], seed=seed) as sim:
            assert sim.run(tell) == ["delivered"] * 3


def test_a_run_that_waits_its_turn_cannot_be_told_and_says_so() -> None:
    slow = Agent("a", model=ScriptedModel(lambda _: Turn("so", delay=50.0)))

    async def tell(rt: Runtime) -> None:
        await rt.start("a", "one", thread_id="t", resource_id="u")
        run = await rt.start("a", "two", thread_id="t")
        with pytest.raises(Refused, match="waits its turn"):
            await rt.signal("more", run_id=run.id)

    with Simulation(lambda _: [slow]) as sim:
        sim.run(tell)
        sim.advance(500)
        assert sim.run(lambda rt: rt.threads.get("t")).messages == 4


def test_a_thread_neither_tells_nor_cancels_a_run_that_is_not_its() -> None:
    """That has the id of one which was to begin there, and could not."""
    other = given(RunStarted(agent_id="a", input="x"), ModelCallStarted(model="m"))
    message = MessageId(sender=thread_stream("t"), sequence=2)
    other.when(TellRun(signal_id="s", signal=new_signal("x"), message=message)).then()
    other.when(CancelRun(reason="another input has come", message=message)).then()


def test_a_run_that_is_cancelled_by_its_thread_sends_back_what_comes_after_that() -> None:
    place = ThreadPlace(thread_id="t", resource_id="u")
    begun = given(RunStarted(agent_id="a", input="x", thread=place), ModelCallStarted(model="m"))
    thread = thread_stream("t")
    cancelled = begun.when(
        CancelRun(reason="late", message=MessageId(sender=thread, sequence=3))
    ).after
    tell_it = TellRun(
        signal_id="s", signal=new_signal("x"), message=MessageId(sender=thread, sequence=2)
    )
    cancelled.when(tell_it).then()
    assert (
        cancelled.state.mail.heard.get(thread, 0) < 2
    )  # So the thread knows that it was not told.


def test_a_run_that_stands_still_and_was_not_told_yet_is_cancelled_all_the_same() -> None:
    """Nobody can tell it anything; whoever wants the thread for himself gets it."""
    machine, heard = Machine(), Heard()

    async def begin(rt: Runtime) -> None:
        await ask(rt, "one")
        await asyncio.sleep(0.5)

    async def take_over(rt: Runtime) -> list[str]:
        await asyncio.sleep(0.1)
        assert (await rt.runs.get("one")).status == "quarantined"
        await tell(rt)
        await rt.start("a", "two", run_id="two", thread_id="t", on_busy="cancel_previous")
        assert (await rt.result("two")).status == "completed"
        assert (await rt.runs.get("one")).status == "cancelled"
        return await said_on(rt)

    machine.crash(begin, echo(heard), max_recoveries=1)
    machine.crash(begin, echo(heard), max_recoveries=1)
    said = machine.run(take_over, echo(heard), max_recoveries=1)
    assert sorted(one for one in said if not one.startswith("answer")) == [TOLD, "one", "two"]


def test_a_signal_after_the_last_step_begins_the_next_run() -> None:
    heard: Heard = []

    async def late(rt: Runtime) -> tuple[SignalAccepted, list[str]]:
        await ask(rt, "one")
        accepted = await tell(rt)
        await tell(rt, "kept", if_idle=IfIdle("persist"))
        await tell(rt, "dropped", if_idle=IfIdle("discard"))
        await tell(rt, "once", transient=True)
        return accepted, await said_on(rt)

    accepted, said = Machine().run(late, echo(heard, max_steps=1))
    assert (accepted.action, accepted.run_id) == ("delivered", "one")
    kept, once = "<notification>kept</notification>", "<notification>once</notification>"
    assert heard[1] == ["one", "answer 1", kept, TOLD]
    assert heard[2] == ["one", "answer 1", kept, TOLD, "answer 2", once]
    assert said == ["one", "answer 1", kept, TOLD, "answer 2", "answer 3"]


@pytest.mark.parametrize("behaviour", ["signal", "deliver"])
def test_what_a_cancelled_run_has_not_read_begins_the_next_one(behaviour: str) -> None:
    @tool(read_only=True)
    async def consult(ctx: ToolContext) -> str:
        return str(await ctx.suspend("which"))

    heard: Heard = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        return Turn("done") if len(heard) > 1 else Turn(tool_calls=[ToolCall("consult")])

    async def cancel(rt: Runtime) -> list[str]:
        run = await ask(rt, "one")
        await run.result()
        if behaviour == "signal":
            await rt.send_message("two", thread_id="t")
        else:
            assert (await ask(rt, "two", on_busy="deliver")).id == "one"
        await rt.cancel("one")
        return await said_on(rt)

    said = Machine().run(cancel, Agent("a", model=ScriptedModel(answer), tools=[consult]))
    assert [one for one in said if one in ("one", "two", "done")] == ["one", "two", "done"]
    assert [each[-1] for each in heard] == ["one", "two"]


def test_what_a_model_call_was_shown_that_has_failed_was_read() -> None:
    heard: Heard = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        if len(heard) == 2:
            raise RuntimeError("no")
        return Turn("so", delay=1.0)

    async def fail(rt: Runtime) -> list[str]:
        run = await ask(rt, "one")
        await tell(rt)
        assert (await run.result()).status == "failed"
        await asyncio.sleep(10)
        return await said_on(rt)

    assert Machine().run(fail, Agent("a", model=ScriptedModel(answer))) == ["one", "so", TOLD]
    assert len(heard) == 2


@pytest.mark.parametrize("commits", range(4, 18))
def test_what_was_not_read_is_read_once_wherever_the_process_dies(commits: int) -> None:
    machine = Machine()

    async def signal(rt: Runtime) -> None:
        await ask(rt, "one")
        await tell(rt, idempotency_key="k")
        await asyncio.sleep(60)

    machine.crash(signal, echo([], max_steps=1), commits=commits)

    async def again(rt: Runtime) -> list[str]:
        await tell(rt, idempotency_key="k", agent="a")
        return await said_on(rt)

    heard: Heard = []
    assert machine.run(again, echo(heard, max_steps=1)).count(TOLD) == 1


@pytest.mark.parametrize("lag", [0.0, 0.3])
def test_what_was_acknowledged_before_a_crash_is_read_once_after_it(lag: float) -> None:
    machine, heard = Machine(), Heard()

    async def signal(rt: Runtime) -> None:
        await ask(rt, "one")
        await tell(rt)
        await rt.queue_message("two", thread_id="t")

    machine.crash(signal, echo(heard), lag=lag)
    said = machine.run(said_on, echo(heard))
    assert [one for one in said if not one.startswith("answer")] == ["one", TOLD, "two"]


@pytest.mark.parametrize("commits", range(1, 14))
def test_a_signal_is_read_once_wherever_the_process_dies(commits: int) -> None:
    machine = Machine()

    async def signal(rt: Runtime) -> None:
        await ask(rt, "one")
        await asyncio.sleep(0.98)  # The run is about to end.
        await tell(rt, idempotency_key="k")
        await asyncio.sleep(60)

    machine.crash(signal, echo([]), commits=commits)

    async def again(rt: Runtime) -> list[str]:
        await ask(rt, "one")
        await tell(rt, idempotency_key="k")
        return await said_on(rt)

    assert machine.run(again, echo([])).count(TOLD) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"thread_id": None}, ValueError),
        ({"run_id": "r"}, ValueError),
        ({"thread_id": None, "run_id": "r", "if_idle": IfIdle("persist")}, ValueError),
        ({"thread_id": None, "run_id": "r", "expires": 5}, ValueError),
        ({"idempotency_key": ""}, ValueError),
        ({"idempotency_key": 7}, TypeError),
        ({"expires": 0}, InvalidSignal),
        ({"expires": 1e300}, InvalidSignal),
        ({"transient": True, "if_idle": IfIdle("persist")}, InvalidSignal),
        ({"transient": True, "if_active": IfActive("persist")}, InvalidSignal),
        ({"tag_name": "a b"}, InvalidSignal),
        ({}, ThreadNotFound),
        ({"resource_id": "u"}, NobodyAnswers),
        ({"resource_id": "u", "agent": "nobody"}, AgentNotFound),
        ({"resource_id": ""}, ValueError),
    ],
)
def test_what_cannot_be_signalled_is_refused_and_leaves_nothing(
    options: dict[str, Any], error: type[Exception]
) -> None:
    async def signal(rt: Runtime) -> None:
        with pytest.raises(error):
            await tell(rt, **options)
        with pytest.raises(ThreadNotFound):
            await rt.threads.get("t")

    Machine().run(signal, echo([]))


def test_the_synchronous_runtime_signals_too() -> None:
    agent = Agent("a", model=ScriptedModel(lambda _: Turn("hello")))
    with SyncRuntime(None, agents=[agent]) as rt:
        woken = rt.signal("look", thread_id="t", resource_id="u", agent=agent)
        assert woken.run_id is not None
        assert rt.result(woken.run_id).output == "hello"
        sent = rt.send_message("hi", thread_id="t")
        assert sent.action in ("woken", "queued", "delivered")
        assert rt.queue_message("hi", thread_id="t").action in ("woken", "queued")
