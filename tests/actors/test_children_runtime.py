"""Runs of sub-agents, as the users of a runtime see them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.mail import Acknowledge
from outlive.actors.run import entity
from outlive.actors.run.commands import EndChildRun, RunCommand, StartRun
from outlive.actors.run.decide import decide
from outlive.events import MemoryLog, RunEvent, RunState, Usage, run_stream
from outlive.projections import RunResult, ToolMessage
from tests.support import Machine, open_runtime, run_virtual
from tests.support.people import DAY

pytestmark = pytest.mark.usefixtures("saved_every")
CHILD = "r1:0.0"


def helper(*turns: Turn, id: str = "helper", tools: Any = (), agents: Any = ()) -> Agent:
    return Agent(id, model=ScriptedModel(turns), tools=tools, agents=agents)


def boss(*agents: Agent, **more: Any) -> Agent:
    """Calls each of its sub-agents once, at the same time."""
    calls = [ToolCall(agent.id, {"input": f"for {agent.id}"}) for agent in agents]
    turns = [Turn(tool_calls=calls), Turn("done")]
    return Agent("boss", model=ScriptedModel(turns), agents=agents, **more)


def answers(result: RunResult) -> list[object]:
    """What the tools and sub-agents have answered: results, or kinds of errors."""
    messages = [message for message in result.messages if isinstance(message, ToolMessage)]
    return [one.result if one.error is None else one.error.kind for one in messages]


async def begin(rt: Runtime) -> None:
    await rt.start("boss", "go", run_id="r1")


async def finish(rt: Runtime) -> RunResult:
    return await rt.result("r1", timeout=60)


async def whole(rt: Runtime) -> RunResult:
    await begin(rt)
    return await finish(rt)


@tool(read_only=True)
async def who(ctx: ToolContext) -> list[str]:
    """Tell for whom it is called."""
    return [ctx.run_id, ctx.agent_id, str(ctx.request_context["user"])]


@tool(read_only=True)
async def ask(ctx: ToolContext) -> str:
    """Ask a person."""
    return str(await ctx.suspend("which"))


def asking(id: str = "helper") -> Agent:
    return helper(Turn(tool_calls=[ToolCall("ask")]), Turn("asked"), id=id, tools=[ask])


# -- a call, from its beginning to its end --


def test_a_sub_agent_is_told_its_input_and_its_text_is_the_result() -> None:
    machine = Machine()
    result = machine.run(whole, boss(helper(Turn("42"))))
    assert (result.unwrap(), answers(result)) == ("done", ["42"])
    (begun, *_) = machine.events(CHILD)
    assert getattr(begun, "input", "") == "for helper"


def test_the_request_context_is_handed_down_and_metadata_is_not() -> None:
    used = helper(Turn(tool_calls=[ToolCall("who")]), Turn("so"), tools=[who])

    async def body(rt: Runtime) -> tuple[list[object], dict[str, Any]]:
        run = await rt.start(
            "boss", "go", run_id="r1", request_context={"user": "Ada"}, metadata={"shop": 1}
        )
        await run.result()
        child = await rt.result(CHILD)
        return answers(child), (await rt.runs.get(CHILD)).metadata

    assert Machine().run(body, boss(used)) == ([[CHILD, "helper", "Ada"]], {})


def test_its_usage_counts_for_its_parent_too_and_each_tells_of_the_other() -> None:
    usage = Usage(input_tokens=5, output_tokens=7)
    inner = helper(Turn("deep", usage=usage), id="inner")
    outer = helper(
        Turn(tool_calls=[ToolCall("inner", {"input": "x"})]), Turn("o", usage=usage), agents=[inner]
    )

    async def body(rt: Runtime) -> None:
        result = await whole(rt)
        assert result.usage == usage + usage
        parent, child = await rt.runs.get("r1"), await rt.runs.get(CHILD)
        assert (parent.parent_id, child.parent_id) == (None, "r1")
        assert (parent.usage, parent.tool_calls) == (usage + usage, 1)
        runs = {run.run_id: run.agent_id for run in (await rt.runs.list()).runs}
        assert runs == {"r1": "boss", CHILD: "helper", f"{CHILD}:0.0": "inner"}

    Machine().run(body, boss(outer))


def test_wrong_arguments_and_failures_go_back_to_the_model() -> None:
    broken = helper(Turn(error=ValueError("no")), id="broken")
    calls = [ToolCall("broken", {"input": "x"}), ToolCall("broken", {"question": "x"})]
    model = ScriptedModel([Turn(tool_calls=calls), Turn("done")])
    result = Machine().run(whole, Agent("boss", model=model, agents=[broken]))
    assert (result.status, answers(result)) == ("completed", ["child_failed", "invalid_arguments"])


def test_only_so_many_children_run_at_the_same_time() -> None:
    running: list[int] = []

    @tool(read_only=True)
    async def count() -> None:
        running.append(1)
        assert len(running) <= 2
        await asyncio.sleep(1)
        running.pop()

    several = [
        helper(Turn(tool_calls=[ToolCall("count")]), Turn("ok"), id=f"h{n}", tools=[count])
        for n in range(5)
    ]
    result = Machine().run(whole, boss(*several, tool_concurrency=2))
    assert answers(result) == ["ok"] * 5


def test_a_run_that_has_the_childs_id_is_not_taken_for_it() -> None:
    async def body(rt: Runtime) -> RunResult:
        await rt.run("helper", "for helper", run_id=CHILD)
        return await whole(rt)

    result = Machine().run(body, boss(helper(Turn("mine"))))
    assert (result.status, answers(result)) == ("completed", ["child_failed"])


# -- waiting --


def test_a_child_that_waits_for_days_costs_its_parent_nothing() -> None:
    machine, a = Machine(), boss(asking())

    async def wait(rt: Runtime) -> None:
        await begin(rt)
        waits = asyncio.ensure_future(rt.result("r1"))
        await asyncio.sleep(1)
        assert (rt.live(), waits.done()) == ([], False)
        assert (await rt.runs.get("r1")).status == "waiting"
        assert [run.run_id for run in (await rt.runs.list(status="waiting")).runs] == ["r1"]
        assert [(item.run_id, item.key) for item in await rt.runs.pending()] == [(CHILD, "which")]
        with pytest.raises(TimeoutError):
            await rt.result("r1", timeout=60)
        waits.cancel()

    async def answer(rt: Runtime) -> RunResult:
        await asyncio.sleep(1)
        assert rt.live() == []
        waits = asyncio.ensure_future(rt.result("r1"))
        await rt.resume(CHILD, "that one")
        return await waits

    machine.crash(wait, a)
    machine.clock.advance(3 * DAY)
    assert answers(machine.run(answer, a)) == ["asked"]
    assert "run-recovered" not in machine.kinds("r1")


def test_until_rest_goes_on_while_a_run_waits_for_its_children() -> None:
    async def body(rt: Runtime) -> list[str]:
        await begin(rt)

        async def seen() -> list[str]:
            return [type(one.event).__name__ async for one in rt.observe("r1", until="rest")]

        watching = asyncio.ensure_future(seen())
        await asyncio.sleep(1)
        await rt.resume(CHILD, "x")
        return await watching

    assert Machine().run(body, boss(asking()))[-1] == "RunCompleted"


def test_who_waits_for_a_person_too_is_suspended_when_its_children_are_over() -> None:
    calls = [ToolCall("ask"), ToolCall("helper", {"input": "x"})]
    model = ScriptedModel([Turn(tool_calls=calls), Turn("done")])
    a = Agent("boss", model=model, agents=[asking()], tools=[ask])

    async def body(rt: Runtime) -> RunResult:
        await begin(rt)
        waits = asyncio.ensure_future(rt.result("r1"))
        await asyncio.sleep(1)
        assert not waits.done()
        assert [item.run_id for item in await rt.runs.pending()] == ["r1", "r1:0.1"]
        await rt.resume("r1:0.1", "x")
        assert (await waits).status == "suspended"
        await rt.resume("r1", "y")
        return await finish(rt)

    assert answers(Machine().run(body, a)) == ["y", "asked"]


# -- what is not registered --


def test_a_run_whose_sub_agent_is_gone_before_it_began_is_blocked_until_it_is_back() -> None:
    machine, a = Machine(), boss(helper(Turn("42")))
    gone = Agent("boss", model=ScriptedModel([]))
    machine.crash(whole, a, commits=2)  # The call is on record, the child is not.
    assert machine.kinds("r1")[-1] == "child-run-started"
    assert machine.kinds(CHILD) == []
    blocked = machine.run(finish, gone)
    assert (blocked.status, "'helper'" in str(blocked.error)) == ("blocked", True)
    assert machine.run(finish, a).unwrap() == "done"


def test_a_child_whose_agent_is_gone_is_blocked_and_its_parent_waits() -> None:
    machine, a = Machine(), boss(asking())

    async def wait(rt: Runtime) -> None:
        await begin(rt)
        await asyncio.sleep(1)
        await rt.resume(CHILD, "x")

    machine.crash(wait, a)

    async def look(rt: Runtime) -> tuple[str, str]:
        blocked = await rt.result(CHILD)
        return blocked.status, (await rt.runs.get("r1")).status

    assert machine.run(look, Agent("boss", model=ScriptedModel([]))) == ("blocked", "waiting")
    assert machine.run(finish, a).unwrap() == "done"


def test_who_waits_for_a_run_is_told_when_it_cannot_come_back() -> None:
    child = asking()
    machine, a = Machine(), boss(child)

    async def wait(rt: Runtime) -> None:
        await begin(rt)
        await asyncio.sleep(1)

    async def answer(rt: Runtime) -> RunResult:
        waits = asyncio.ensure_future(finish(rt))
        await rt.resume(CHILD, "x")
        return await waits

    machine.run(wait, a)
    blocked = machine.run(answer, child)  # Its own agent is not registered.
    assert (blocked.status, "'boss'" in str(blocked.error)) == ("blocked", True)
    assert machine.run(finish, a).unwrap() == "done"


# -- cancelling --


@pytest.mark.parametrize("commits", range(1, 9))
def test_a_run_that_is_cancelled_at_any_commit_leaves_no_child_behind(commits: int) -> None:
    """Also when the process dies right after that, and the next one has to see to it."""
    machine = Machine()
    inner = helper(Turn(tool_calls=[ToolCall("for_ever")]), id="inner", tools=[for_ever])
    a = boss(helper(Turn(tool_calls=[ToolCall("inner", {"input": "x"})]), agents=[inner]))

    async def cancel(rt: Runtime) -> None:
        async with rt.log.follow_all() as records:
            await begin(rt)
            async for record in records:
                if record.position >= commits:
                    break
        await rt.cancel("r1")

    machine.crash(cancel, a)
    machine.run(settle, a)
    for run_id in ("r1", CHILD, f"{CHILD}:0.0"):
        assert machine.status(run_id) is None
        assert "run-cancelled" in machine.kinds(run_id) or machine.kinds(run_id) == []


@tool(read_only=True)
async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.sleep(1e9)


async def settle(rt: Runtime) -> None:
    """Let what is owed be delivered."""
    await asyncio.sleep(60)


def test_cancelling_reaches_a_child_that_stands_still() -> None:
    machine, a = Machine(), boss(asking())

    async def wait(rt: Runtime) -> None:
        await begin(rt)
        await asyncio.sleep(1)
        await rt.resume(CHILD, "x")

    async def cancel(rt: Runtime) -> str:
        assert (await rt.result(CHILD)).status == "blocked"
        await rt.cancel("r1")
        return (await rt.result(CHILD, timeout=60)).status

    machine.crash(wait, a)
    assert machine.run(cancel, Agent("boss", model=ScriptedModel([]))) == "cancelled"


def test_a_quarantined_run_of_the_childs_id_is_not_woken_by_a_cancel_that_is_not_for_it() -> None:
    machine, own = Machine(), helper(Turn(tool_calls=[ToolCall("for_ever")]), tools=[for_ever])
    a = boss(own)

    async def start_its_own(rt: Runtime) -> None:
        await rt.start("helper", "something else", run_id=CHILD)
        await asyncio.sleep(1)

    async def cancel(rt: Runtime) -> list[str]:
        await begin(rt)
        await asyncio.sleep(1)
        await rt.cancel("r1")
        await settle(rt)
        found = [(await rt.result(run_id, timeout=1)).status for run_id in ("r1", CHILD)]
        assert await rt.release(CHILD)
        return found

    machine.crash(start_its_own, a)
    assert machine.run(cancel, a, max_recoveries=0) == ["cancelled", "quarantined"]


def test_a_child_that_could_not_begin_never_does_once_its_parent_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails = True

    def decide_badly(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
        if fails and isinstance(command, StartRun) and command.parent is not None:
            raise ZeroDivisionError("as it is about to begin")
        return decide(state, command)

    monkeypatch.setattr(entity.RUN, "decide", decide_badly)

    async def cancel(rt: Runtime) -> None:
        nonlocal fails
        await begin(rt)
        await settle(rt)
        fails = False
        await rt.cancel("r1")
        await settle(rt)

    machine = Machine()
    machine.run(cancel, boss(helper(Turn("42"))))
    assert (machine.kinds(CHILD), machine.status(CHILD)) == ([], None)


def test_a_child_may_be_cancelled_alone() -> None:
    async def body(rt: Runtime) -> RunResult:
        await begin(rt)
        await asyncio.sleep(1)
        await rt.cancel(CHILD, "not that")
        return await finish(rt)

    result = Machine().run(body, boss(asking()))
    assert (result.unwrap(), answers(result)) == ("done", ["child_cancelled"])


# -- a parent that cannot hear --


def test_the_end_of_a_child_waits_until_its_parent_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = True

    def decide_badly(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
        if deaf and isinstance(command, EndChildRun):
            raise ZeroDivisionError("as the news comes in")
        return decide(state, command)

    monkeypatch.setattr(entity.RUN, "decide", decide_badly)

    async def body(rt: Runtime) -> RunResult:
        nonlocal deaf
        await begin(rt)
        assert (await rt.result("r1", timeout=600)).status == "quarantined"
        child = await rt.result(CHILD, timeout=1)
        assert child.status == "completed"
        assert [one.version async for one in rt.observe(CHILD)][-1] == 4
        entry = rt.log.open_entry(run_stream(CHILD))
        assert entry is not None
        assert (entry.status, entry.over) == ("completed", True)
        assert (await rt.runs.get(CHILD)).status == "completed"
        await asyncio.sleep(600)
        deaf = False
        await rt.release("r1")
        return await finish(rt)

    machine = Machine()
    result = machine.run(body, boss(helper(Turn("42"))))
    assert (result.unwrap(), answers(result)) == ("done", ["42"])
    assert machine.status(CHILD) is None


def test_the_end_of_a_child_is_told_again_at_the_next_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, a = Machine(), boss(helper(Turn("42")))
    with monkeypatch.context() as patched:
        patched.setattr(entity.RUN, "decide", _deaf)
        machine.crash(until_the_child_is_over, a)
    assert machine.run(finish, a).unwrap() == "done"
    assert machine.kinds("r1").count("child-run-ended") == 1


def test_a_run_that_is_over_is_released_without_its_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide_badly(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
        if isinstance(command, Acknowledge) and state.parent is not None:
            raise ZeroDivisionError("as it hears that its parent knows")
        return decide(state, command)

    async def until_it_stands_still(rt: Runtime) -> str:
        await whole(rt)
        await asyncio.sleep(60)
        return (await rt.result(CHILD)).status

    async def release(rt: Runtime) -> None:
        assert await rt.release(CHILD)
        await settle(rt)

    machine = Machine()
    with monkeypatch.context() as patched:
        patched.setattr(entity.RUN, "decide", decide_badly)
        status = machine.run(until_it_stands_still, boss(helper(Turn("42"))))
    assert status == "quarantined"
    machine.run(release, Agent("boss", model=ScriptedModel([])))
    assert machine.status(CHILD) is None


async def until_the_child_is_over(rt: Runtime) -> None:
    await begin(rt)
    await asyncio.sleep(0.01)
    assert (await rt.result(CHILD)).status == "completed"


def _deaf(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
    if isinstance(command, EndChildRun):
        raise ZeroDivisionError("as the news comes in")
    return decide(state, command)


# -- depth --


def test_children_of_children_have_ids_of_a_bounded_length() -> None:
    depth = 60
    agent = helper(Turn("bottom"), id="a0")
    for level in range(1, depth):
        call = Turn(tool_calls=[ToolCall(agent.id, {"input": "deeper"})])
        agent = helper(call, Turn("up"), id=f"a{level}", agents=[agent])

    async def body() -> list[str]:
        log = MemoryLog()
        async with open_runtime(agent, log=log) as rt:
            result = await rt.run(agent.id, "go", run_id="r1")
            assert result.unwrap() == "up"
            return [run.run_id for run in (await rt.runs.list(limit=100)).runs]

    runs = run_virtual(body())
    assert len(set(runs)) == depth
    assert max(map(len, runs)) <= 200
