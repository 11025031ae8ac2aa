"""Runs on threads: whose turn it is, what they see, and what is left of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from outlive.actors import (
    Agent,
    History,
    ModelRequest,
    RunContext,
    Runtime,
    ScriptedModel,
    SyncRuntime,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.thread.control import RuntimeThreads
from outlive.events import (
    AssistantMessage,
    Event,
    InvalidDefinition,
    InvalidOffset,
    MessageAppended,
    OtherResource,
    RunExists,
    RunNotFound,
    ThreadBusy,
    ThreadExists,
    ThreadNotFound,
    ToolMessage,
    UserMessage,
    thread_stream,
)
from outlive.projections import RunResult
from tests.support.machine import Machine, tags
from tests.support.threads import Heard, ask, echo, said_on


def test_a_run_sees_what_was_said_before_and_leaves_what_is_said_in_it() -> None:
    heard: Heard = []

    async def two(rt: Runtime) -> list[str]:
        await (await ask(rt, "one")).result()
        await said_on(rt)
        await (await ask(rt, "two")).result()
        return await said_on(rt)

    assert Machine().run(two, echo(heard)) == ["one", "answer 1", "two", "answer 2"]
    assert heard == [["one"], ["one", "answer 1", "two"]]


def test_runs_on_a_thread_come_one_after_the_other_in_order() -> None:
    machine, heard = Machine(), Heard()

    async def three(rt: Runtime) -> list[str]:
        runs = [await ask(rt, said) for said in ("one", "two", "three")]
        assert (await rt.runs.get("three")).status == "queued"
        info = await rt.threads.get("t")
        assert (info.status, info.run_id, info.queued) == ("active", "one", ("two", "three"))
        await runs[2].result()
        return await said_on(rt)

    said = machine.run(three, echo(heard))
    assert said == ["one", "answer 1", "two", "answer 2", "three", "answer 3"]
    assert machine.log.open_entry(thread_stream("t")) is None


def test_runs_are_listed_by_their_thread_and_whose_it_is() -> None:
    async def several(rt: Runtime) -> None:
        for thread, resource in (("t", "u"), ("s", "u"), ("r", "v")):
            for number in range(2):
                said = f"{thread}{number}"
                await (await ask(rt, said, thread_id=thread, resource_id=resource)).result()
        await rt.run("a", "alone")
        of_one = await rt.runs.list(thread_id="s")
        assert [run.run_id for run in of_one.runs] == ["s1", "s0"]
        assert {(run.thread_id, run.resource_id) for run in of_one.runs} == {("s", "u")}
        theirs = await rt.runs.list(resource_id="u", status="completed", limit=3)
        assert [run.run_id for run in theirs.runs] == ["s1", "s0", "t1"]
        rest = await rt.runs.list(
            resource_id="u", status="completed", limit=3, cursor=theirs.cursor
        )
        assert [run.run_id for run in rest.runs] == ["t0"]
        assert (await rt.runs.list()).runs[0].thread_id is None

    Machine().run(several, echo([]))


def test_instructions_and_conditions_to_stop_see_the_thread() -> None:
    seen: list[tuple[str | None, str | None, int]] = []

    def look(context: RunContext) -> str:
        seen.append((context.thread_id, context.resource_id, len(context.messages)))
        return ""

    async def two(rt: Runtime) -> None:
        for said in ("one", "two"):
            await (await ask(rt, said)).result()
            await said_on(rt)

    Machine().run(two, echo([], instructions=look))
    assert seen == [("t", "u", 1), ("t", "u", 3)]


def test_runs_on_different_threads_do_not_wait_for_each_other() -> None:
    async def two(rt: Runtime) -> float:
        begun = asyncio.get_running_loop().time()
        runs = [await ask(rt, said, thread_id=said) for said in ("one", "two")]
        for run in runs:
            await run.result()
        return asyncio.get_running_loop().time() - begun

    assert Machine().run(two, echo([])) < 2.5


def test_an_input_can_be_told_to_the_active_run() -> None:
    heard: Heard = []

    async def deliver(rt: Runtime) -> tuple[str, RunResult, list[str]]:
        await ask(rt, "one")
        told = await ask(rt, "two", on_busy="deliver")
        again = await ask(rt, "two", on_busy="deliver")
        assert again.id == told.id
        return told.id, await told.result(), await said_on(rt)

    run_id, result, said = Machine().run(deliver, echo(heard))
    assert (run_id, result.output, result.steps) == ("one", "answer 2", 2)
    assert said == ["one", "answer 1", "two", "answer 2"]


def test_a_run_that_is_not_to_wait_is_refused_and_leaves_nothing() -> None:
    async def reject(rt: Runtime) -> None:
        await ask(rt, "one")
        with pytest.raises(ThreadBusy) as caught:
            await ask(rt, "two", on_busy="reject")
        assert caught.value.run_id == "one"
        with pytest.raises(RunNotFound):
            await rt.runs.get("two")

    Machine().run(reject, echo([]))


def test_a_run_can_take_the_place_of_the_active_one() -> None:
    heard: Heard = []

    async def replace(rt: Runtime) -> tuple[list[str], list[str]]:
        runs = [await ask(rt, "one"), await ask(rt, "two")]
        runs.append(await ask(rt, "three", on_busy="cancel_previous"))
        statuses = [(await run.result()).status for run in runs]
        return statuses, await said_on(rt)

    statuses, said = Machine().run(replace, echo(heard))
    assert statuses == ["cancelled", "completed", "completed"]
    assert said == ["one", "three", "answer 2", "two", "answer 3"]


def test_a_run_that_waits_its_turn_can_be_cancelled_and_was_never_said() -> None:
    machine = Machine()

    async def cancel(rt: Runtime) -> tuple[RunResult, list[str]]:
        await ask(rt, "one")
        waits = await ask(rt, "two")
        assert await rt.cancel("two", "enough", by="p")
        return await waits.result(), await said_on(rt)

    result, said = machine.run(cancel, echo([]))
    assert (result.status, result.error and result.error.message) == ("cancelled", "enough")
    assert said == ["one", "answer 1"]
    assert machine.kinds("two") == ["run-started", "run-cancelled", "message-delivered"]


def test_a_start_that_is_repeated_is_the_same_run_and_another_one_is_refused() -> None:
    async def repeat(rt: Runtime) -> None:
        for _ in range(2):
            await ask(rt, "one")  # active
            await ask(rt, "two")  # waiting
        for run_id in ("one", "two"):
            with pytest.raises(RunExists):
                await ask(rt, "something else", run_id=run_id)
        assert (await rt.result("two")).status == "completed"
        await ask(rt, "two")  # over
        with pytest.raises(RunExists):
            await ask(rt, "something else", run_id="two")
        with pytest.raises(RunExists):
            await rt.start("a", "two", run_id="two")
        assert len(await said_on(rt)) == 4

    Machine().run(repeat, echo([]))


def test_a_thread_belongs_to_one_resource() -> None:
    async def other(rt: Runtime) -> None:
        with pytest.raises(ThreadNotFound):
            await ask(rt, "one", resource_id=None)
        await ask(rt, "one")
        with pytest.raises(OtherResource):
            await ask(rt, "two", resource_id="v")
        await ask(rt, "three", resource_id=None)

    Machine().run(other, echo([]))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"resource_id": "u"}, "give its thread_id"),
        ({"on_busy": "reject"}, "give its thread_id"),
        ({"thread_id": "t", "resource_id": "u", "on_busy": "wait"}, "on_busy is one of"),
        ({"thread_id": "", "resource_id": "u"}, "must not be empty"),
        ({"thread_id": "t", "resource_id": ""}, "must not be empty"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], error: str) -> None:
    async def start(rt: Runtime) -> None:
        with pytest.raises(ValueError, match=error):
            await rt.start("a", "one", **options)

    Machine().run(start, echo([]))


def test_a_crash_leaves_the_queue_as_it_was() -> None:
    machine, heard = Machine(), Heard()

    async def three(rt: Runtime) -> None:
        for said in ("one", "two", "three"):
            await ask(rt, said)

    async def wait(rt: Runtime) -> list[str]:
        await rt.result("three")
        return await said_on(rt)

    machine.crash(three, echo(heard))
    said = machine.run(wait, echo(heard))
    assert [one for one in said if not one.startswith("answer")] == ["one", "two", "three"]


def test_a_run_whose_agent_is_gone_keeps_its_thread_until_it_is_there_again() -> None:
    machine = Machine()

    async def two(rt: Runtime) -> None:
        await ask(rt, "one")
        await ask(rt, "two")

    async def look(rt: Runtime) -> None:
        assert (await rt.result("one")).status == "blocked"
        assert (await rt.threads.get("t")).queued == ("two",)

    async def wait(rt: Runtime) -> list[str]:
        await rt.result("two")
        return await said_on(rt)

    machine.crash(two, echo([]))
    machine.run(look, Agent("other", model=ScriptedModel([])))
    assert len(machine.run(wait, echo([]))) == 4


def test_a_thread_whose_next_agent_is_gone_stands_still_and_goes_on_with_it() -> None:
    machine = Machine()

    async def ask_once(rt: Runtime) -> None:
        await ask(rt, "one")

    async def look(rt: Runtime) -> None:
        info = await rt.threads.get("t")
        assert (info.status, info.reason) == ("blocked", "agent 'a' is not registered")

    async def wait(rt: Runtime) -> list[str]:
        await rt.result("one")
        return await said_on(rt)

    machine.crash(ask_once, echo([]), commits=1)
    machine.run(look, Agent("other", model=ScriptedModel([])))
    assert machine.run(wait, echo([])) == ["one", "answer 1"]


def test_what_is_said_on_a_thread_that_stands_still_is_taken_and_waits_with_it() -> None:
    machine = Machine()
    other = Agent("other", model=ScriptedModel(lambda _: Turn("here")))

    async def ask_once(rt: Runtime) -> None:
        await ask(rt, "one")

    async def say(rt: Runtime) -> None:
        assert (await rt.send_message("two", thread_id="t")).action == "delivered"
        assert (await rt.send_message("three", thread_id="t", agent="other")).action == "queued"
        await rt.start("other", "four", run_id="four", thread_id="t")
        await rt.start("other", "five", run_id="five", thread_id="t")
        await rt.cancel("four")
        assert await rt.threads.rename("t", "Talk")
        assert await rt.threads.append("t", [UserMessage(text="zero")])
        info = await rt.threads.get("t")
        assert (info.status, info.title, len(info.queued)) == ("blocked", "Talk", 2)
        assert (await rt.result("four")).status == "cancelled"

    machine.crash(ask_once, echo([]), commits=1)
    machine.run(say, other)
    assert machine.run(said_on, echo([]), other) == [
        *("zero", "one", "answer 1", "two", "answer 2"),
        *("three", "here", "five", "here"),
    ]


# -- what a run sees --


@pytest.mark.parametrize(
    ("history", "seen"),
    [
        (History(max_messages=3), ["3", "4", "5"]),
        (History(max_messages=0), []),
        (History(max_messages=None), ["0", "1", "2", "3", "4", "5"]),
        (History(max_messages=None, max_tokens=40), ["4", "5"]),
    ],
)
def test_a_run_sees_so_much_of_its_thread_as_its_agent_wants(
    history: History, seen: list[str]
) -> None:
    heard: Heard = []

    async def talk(rt: Runtime) -> None:
        await rt.threads.create(resource_id="u", thread_id="t")
        await rt.threads.append("t", [UserMessage(text=str(number)) for number in range(6)])
        await (await ask(rt, "now")).result()

    Machine().run(talk, echo(heard, history=history))
    assert heard == [[*seen, "now"]]


def test_a_long_thread_is_read_from_its_end() -> None:
    heard: Heard = []

    async def talk(rt: Runtime) -> None:
        await rt.threads.create(resource_id="u", thread_id="t")
        for part in range(3):
            said = [UserMessage(text=f"{part} {number}") for number in range(100)]
            await rt.threads.append("t", said)
        await (await ask(rt, "now")).result()

    Machine().run(talk, echo(heard, history=History(max_messages=150)))
    assert heard[0][0] == "1 50"
    assert len(heard[0]) == 151


def test_what_a_run_sees_never_begins_with_an_answer_without_its_call() -> None:
    @tool(read_only=True)
    async def where(ctx: ToolContext) -> list[str | None]:
        return [ctx.thread_id, ctx.resource_id]

    heard: list[tuple[object, ...]] = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(request.messages)
        return Turn("there") if len(heard) % 2 == 0 else Turn(tool_calls=[ToolCall("where")])

    agent = Agent("a", model=ScriptedModel(answer), tools=[where], history=History(max_messages=2))

    async def two(rt: Runtime) -> None:
        await (await ask(rt, "one")).result()
        await said_on(rt)
        await (await ask(rt, "two")).result()

    Machine().run(two, agent)
    assert [type(one) for one in heard[2]] == [AssistantMessage, UserMessage]
    answered = heard[1][-1]
    assert isinstance(answered, ToolMessage)
    assert answered.result == ["t", "u"]


@pytest.mark.parametrize("option", ["max_messages", "max_tokens"])
def test_a_history_that_cannot_be_is_refused(option: str) -> None:
    for wrong in (-1, 1.5, True):
        with pytest.raises(InvalidDefinition, match=option):
            History(**{option: wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidDefinition, match="history"):
        Agent("a", model=ScriptedModel([]), history=40)  # type: ignore[arg-type]


def test_calls_that_a_cancelled_run_has_left_open_are_answered_in_the_thread() -> None:
    @tool(read_only=True)
    async def wait() -> None:
        await asyncio.sleep(60)

    agent = Agent("a", model=ScriptedModel([Turn(tool_calls=[ToolCall("wait")])]), tools=[wait])

    async def cancel(rt: Runtime) -> list[Any]:
        await ask(rt, "one")
        await asyncio.sleep(1)
        await rt.cancel("one", "enough")
        await said_on(rt)
        return [one.message for one in await rt.threads.messages("t")]

    said, called, answered = Machine().run(cancel, agent)
    assert (said.text, called.tool_calls[0].name) == ("one", "wait")
    assert (answered.call_id, answered.error.kind) == ("0.0", "cancelled")


# -- threads themselves --


def test_a_thread_is_created_once_and_can_be_renamed() -> None:
    async def create(rt: Runtime) -> None:
        fields: dict[str, Any] = {"resource_id": "u", "thread_id": "t", "metadata": {"k": [1]}}
        for _ in range(2):
            assert await rt.threads.create(**fields, agent="a", title="Talk") == "t"
        with pytest.raises(ThreadExists):
            await rt.threads.create(**fields, title="Talk")
        assert await rt.threads.rename("t", "Chat")
        await rt.threads.create(**fields, agent="a", title="Talk")
        info = await rt.threads.get("t")
        assert (info.title, info.agent_id, info.metadata) == ("Chat", "a", {"k": [1]})
        assert (info.status, info.messages, info.resource_id) == ("idle", 0, "u")
        drawn = await rt.threads.create(resource_id="u")
        assert (await rt.threads.get(drawn)).title == ""

    Machine().run(create, echo([]))


def test_threads_are_listed_by_resource_in_order() -> None:
    async def several(rt: Runtime) -> None:
        for number in range(5):
            await rt.threads.create(resource_id="uv"[number % 2], thread_id=f"t{number}")
            await asyncio.sleep(1)
        page = await rt.threads.list(resource_id="u", limit=2)
        assert [one.thread_id for one in page.threads] == ["t4", "t2"]
        rest = await rt.threads.list(resource_id="u", limit=2, cursor=page.cursor)
        assert ([one.thread_id for one in rest.threads], rest.cursor) == (["t0"], None)
        oldest = await rt.threads.list(order="oldest")
        assert [one.thread_id for one in oldest.threads] == ["t0", "t1", "t2", "t3", "t4"]

    Machine().run(several, echo([]))


def test_messages_come_in_pages_by_their_version() -> None:
    async def pages(rt: Runtime) -> None:
        await rt.threads.create(resource_id="u", thread_id="t")
        await rt.threads.append("t", [UserMessage(text="one"), AssistantMessage(text="two")])
        await rt.threads.rename("t", "Talk")
        await rt.threads.append("t", [UserMessage(text="three")])
        first = await rt.threads.messages("t", limit=2)
        assert [one.version for one in first] == [2, 3]
        rest = await rt.threads.messages("t", after=3)
        assert [(one.version, one.run_id) for one in rest] == [(5, None)]
        with pytest.raises(InvalidOffset):
            await rt.threads.messages("t", after=6)

    Machine().run(pages, echo([]))


def test_a_fork_begins_with_what_was_said_and_goes_its_own_way() -> None:
    async def fork(rt: Runtime) -> None:
        await (await ask(rt, "one")).result()
        await said_on(rt)
        first = (await rt.threads.messages("t"))[0]
        whole = await rt.threads.fork("t", new_id="whole", title="Again")
        part = await rt.threads.fork("t", at=first.version)
        assert await rt.threads.fork("t", new_id="whole", title="Again", at=None) == whole
        await (await ask(rt, "two", thread_id=whole)).result()
        assert await said_on(rt, whole) == ["one", "answer 1", "two", "answer 2"]
        assert await said_on(rt, part) == ["one"]
        assert await said_on(rt) == ["one", "answer 1"]
        info = await rt.threads.get(whole)
        assert info.forked_from is not None
        assert (info.title, info.resource_id) == ("Again", "u")
        assert info.forked_from.thread_id == "t"
        with pytest.raises(InvalidOffset):
            await rt.threads.fork("t", at=1_000)

    Machine().run(fork, echo([]))


def test_a_thread_is_followed_live() -> None:
    async def follow(rt: Runtime) -> list[str]:
        await rt.threads.create(resource_id="u", thread_id="t")
        seen: list[Event] = []

        async def watch() -> None:
            async for recorded in rt.threads.observe("t", after=1):
                seen.append(recorded.event)
                if len([one for one in seen if isinstance(one, MessageAppended)]) == 2:
                    return

        watching = asyncio.ensure_future(watch())
        await ask(rt, "one")
        await watching
        return tags(seen)

    assert Machine().run(follow, echo([])) == [
        "thread-run-asked",
        "thread-run-claimed",
        "message-delivered",
        "message-appended",
        "message-appended",
    ]


LOOKS: Final[list[Callable[[RuntimeThreads], Awaitable[object]]]] = [
    lambda threads: threads.get("x"),
    lambda threads: threads.messages("x"),
    lambda threads: threads.rename("x", "y"),
    lambda threads: threads.append("x", [UserMessage(text="y")]),
    lambda threads: threads.fork("x"),
    lambda threads: threads.cancel_queued("x"),
    lambda threads: anext(threads.observe("x")),
]


@pytest.mark.parametrize("look", LOOKS)
def test_a_thread_that_does_not_exist_is_not_found_at_once(
    look: Callable[[RuntimeThreads], Awaitable[object]],
) -> None:
    async def ask_for(rt: Runtime) -> None:
        with pytest.raises(ThreadNotFound):
            await look(rt.threads)

    Machine().run(ask_for, echo([]))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["text"],
        [ToolMessage(call_id="0.0", name="t")],  # type: ignore[arg-type]
        [UserMessage(text="x", transient=True)],
        [UserMessage(text=7)],  # type: ignore[arg-type]
        [UserMessage(text="x", call_id=7)],  # type: ignore[arg-type]
        [AssistantMessage(text="x", reasoning=7)],  # type: ignore[arg-type]
    ],
)
def test_what_nobody_has_said_cannot_be_appended(wrong: Any) -> None:
    async def append(rt: Runtime) -> None:
        await rt.threads.create(resource_id="u", thread_id="t")
        with pytest.raises((TypeError, ValueError)):
            await rt.threads.append("t", wrong)
        assert await rt.threads.messages("t") == []

    Machine().run(append, echo([]))


def test_the_synchronous_runtime_has_threads_too() -> None:
    agent = Agent("a", model=ScriptedModel([Turn("hello")]))
    with SyncRuntime(None, agents=[agent]) as rt:
        thread_id = rt.threads.create(resource_id="u", title="Talk")
        result = rt.run("a", "hi", thread_id=thread_id, on_busy="reject")
        assert result.output == "hello"
        for recorded in rt.threads.observe(thread_id):
            if isinstance(recorded.event, MessageAppended) and recorded.version == 6:
                break
        assert [one.message.text for one in rt.threads.messages(thread_id)] == ["hi", "hello"]
        assert rt.threads.list(resource_id="u").threads[0].title == "Talk"
        assert rt.threads.rename(thread_id, "Chat")
        assert rt.threads.append(thread_id, [UserMessage(text="bye")])
        forked = rt.threads.fork(thread_id)
        assert rt.threads.get(forked).messages == 3
        assert rt.threads.cancel_queued(thread_id)
