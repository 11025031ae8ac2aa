"""Tools: what a model may call, what becomes of each way in which a call can go, and why not."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import decimal
import enum
import threading
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest

from outlive.actors import (
    Agent,
    DuplicateStep,
    EchoModel,
    ModelRequest,
    RepeatedAfterCrash,
    Retry,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.tool import as_tool
from outlive.events import (
    AttemptEnded,
    CallId,
    Event,
    Failure,
    InvalidDefinition,
    OutliveError,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
    UnserialisableValue,
    Value,
)
from outlive.projections import RunResult, ToolMessage
from tests.actors.conftest import Logs
from tests.support import SECOND, START_NS, Gate, Machine, clock, run_virtual, tag

AnyFunction = Callable[..., Any]
C0 = CallId("0.0")


class Played:
    """A run that called some tools: its result, its events, and when each was recorded."""

    def __init__(self, machine: Machine, result: RunResult) -> None:
        self.machine = machine
        self.result = result
        self.events = machine.events("r1")
        self.at = [
            (recorded.recorded_at_ns - START_NS) / SECOND
            for recorded in machine.log.read(_stream())
        ]

    @property
    def answers(self) -> list[ToolMessage]:
        return [message for message in self.result.messages if isinstance(message, ToolMessage)]

    @property
    def answer(self) -> ToolMessage:
        (answer,) = self.answers
        return answer

    @property
    def error(self) -> Failure:
        assert self.answer.error is not None
        return self.answer.error

    def of(self, *types: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, types)]

    def times(self, *types: type[Event]) -> list[float]:
        pairs = zip(self.events, self.at, strict=True)
        return [at for event, at in pairs if isinstance(event, types)]


def _stream() -> Any:
    from outlive.events import run_stream

    return run_stream("r1")


def agent_of(*tools: AnyFunction | Tool[..., Any], calls: list[ToolCall] | None = None) -> Agent:
    made = [as_tool(item) for item in tools]
    wanted = [ToolCall(item.name) for item in made] if calls is None else calls
    return Agent("a", model=ScriptedModel([Turn(tool_calls=wanted), Turn("done")]), tools=made)


def play(
    *tools: AnyFunction | Tool[..., Any],
    calls: list[ToolCall] | None = None,
    linger: float = 0.0,
    deps: object = None,
) -> Played:
    """Let a model call each of the tools once (or as `calls` says), and come to the end."""
    machine = Machine()

    async def body(rt: Runtime) -> RunResult:
        run = await rt.start("a", "hi", run_id="r1")
        result = await run.result()
        if linger:
            await asyncio.sleep(linger)
        return result

    result = machine.run(body, agent_of(*tools, calls=calls), deps=deps)
    assert result.status == "completed", "whatever a tool does, the run goes on"
    return Played(machine, result)


def one(name: str, **arguments: Any) -> list[ToolCall]:
    return [ToolCall(name, arguments)]


# -- what a tool answers --


class Page(msgspec.Struct):
    url: str
    size: int = 0


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_tool_may_be_async_or_sync(kind: str) -> None:
    @tool(read_only=True)
    async def add_async(a: int, b: int = 3) -> int:
        return a + b

    @tool(read_only=True)
    def add_sync(a: int, b: int = 3) -> int:
        assert threading.current_thread().name.startswith("outlive-tool")
        return a + b

    made = add_async if kind == "async" else add_sync
    assert play(made, calls=one(f"add_{kind}", a=2)).answer.result == 5


def test_a_sync_tool_sees_the_context_variables_of_the_loop() -> None:
    @tool(read_only=True)
    def read() -> str:
        return variable.get()

    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    assert play(read).answer.result == "set"


@pytest.mark.parametrize("kept", ["in memory", "in a folder"])
def test_tools_see_the_context_variables_of_who_opened_the_runtime_and_nobody_elses(
    kept: str, tmp_path: Path
) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    @tool(read_only=True)
    async def read() -> str:
        return variable.get()

    async def request(rt: Runtime, name: str) -> Value:
        variable.set(name)
        result = await rt.run("a", "hi", run_id=name)
        (answer,) = [it for it in result.messages if isinstance(it, ToolMessage)]
        return answer.result

    async def body() -> None:
        variable.set("opened")
        path = tmp_path if kept == "in a folder" else None
        async with Runtime(path, agents=[agent_of(read)]) as rt:
            found = await asyncio.gather(request(rt, "one"), request(rt, "other"))
        assert set(found) == {"opened"}

    asyncio.run(body())


def test_a_result_is_stored_in_its_plain_form() -> None:
    @tool(read_only=True)
    async def read() -> Page:
        return Page("http://x", 7)

    assert play(read).answer.result == {"url": "http://x", "size": 7}


def test_a_tool_without_a_return_annotation_may_return_anything_that_can_be_stored() -> None:
    @tool(read_only=True)
    async def read():  # type: ignore[no-untyped-def]  # noqa: ANN202
        return {"when": dt.date(2030, 1, 2), "raw": b"x"}

    assert play(read).answer.result == {"when": "2030-01-02", "raw": b"x"}  # pyright: ignore[reportUnknownArgumentType]


@pytest.mark.parametrize(
    "value", [object(), {1, object()}, lambda: 1, 2**64, "\ud800", {(1, 2): 3}, open]
)
def test_a_result_that_cannot_be_stored_is_an_error_to_the_model(value: Any) -> None:
    @tool(read_only=True)
    async def read() -> Any:
        return value

    error = play(read).error
    assert error.kind == "unserialisable"
    assert "cannot be stored" in error.message


def test_a_result_that_contains_itself_is_an_error_to_the_model() -> None:
    @tool(read_only=True)
    async def read() -> Any:
        found: list[Any] = []
        found.append(found)
        return found

    assert play(read).error.kind == "unserialisable"


def test_a_result_that_does_not_fit_the_annotation_is_an_error_that_says_where() -> None:
    @tool(read_only=True)
    async def read() -> list[Page]:
        return [{"url": 5}]  # type: ignore[list-item]  # pyright: ignore[reportReturnType]

    @tool(read_only=True)
    def nothing() -> None:
        return 5  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    played = play(read, nothing)
    errors = [answer.error for answer in played.answers if answer.error is not None]
    assert [error.kind for error in errors] == ["invalid_output"] * 2
    assert "$[0].url" in errors[0].message


RAISED = [
    ValueError("boom"),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError("its own"),
    AttemptEnded("0.0", 9),
    BaseExceptionGroup("g", [ValueError("x"), SystemExit(1)]),
    GeneratorExit(),
]


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
def test_whatever_an_async_tool_raises_is_an_error_to_the_model(raised: BaseException) -> None:
    @tool(read_only=True)
    async def raising() -> None:
        raise raised

    error = play(raising).error
    assert (error.kind, error.exception) == ("error", type(raised).__name__)


@pytest.mark.parametrize("raised", RAISED[:-1], ids=lambda raised: type(raised).__name__)
def test_whatever_a_sync_tool_raises_is_an_error_to_the_model(raised: BaseException) -> None:
    @tool(read_only=True)
    def raising() -> None:
        raise raised

    error = play(raising).error
    assert (error.kind, error.exception) == ("error", type(raised).__name__)


@pytest.mark.parametrize("where", ["tool", "step"])
@pytest.mark.parametrize("raised", [StopIteration, GeneratorExit])
def test_what_a_future_cannot_hold_is_an_error_to_the_model_too(
    raised: type[BaseException], where: str
) -> None:
    def raising() -> int:
        raise raised

    @tool(read_only=True)
    async def stepping(ctx: ToolContext) -> int:
        return await ctx.step("s", raising)

    async def body(rt: Runtime) -> RunResult:
        run = await rt.start("a", "hi", run_id="r1")
        return await run.result(timeout=60)

    made = tool(read_only=True)(raising) if where == "tool" else stepping
    assert Machine().run(body, agent_of(made)).status == "completed"


def test_a_message_that_is_long_or_cannot_be_stored_is_made_to_fit() -> None:
    @tool(read_only=True)
    async def long() -> None:
        raise ValueError("x" * 5_000)

    @tool(read_only=True)
    async def odd() -> None:
        raise ValueError("\ud800")

    long_one, odd_one = (answer.error for answer in play(long, odd).answers)
    assert long_one is not None
    assert odd_one is not None
    assert len(long_one.message) == 2_000
    assert odd_one.message == "ValueError: ?"


def test_what_a_tool_takes_and_gives_is_converted_and_checked() -> None:
    seen: list[Any] = []

    @tool(read_only=True)
    async def read(page: Page, when: dt.date, kinds: set[Literal["a", "b"]]) -> tuple[int, Page]:
        seen.extend([page, when, kinds])
        return (1, page)

    played = play(
        read,
        calls=one("read", page={"url": "x"}, when="2030-01-02", kinds=["a", "a"]),
    )
    assert seen == [Page("x"), dt.date(2030, 1, 2), {"a"}]
    assert played.answer.error is None


def test_wrong_calls_go_back_to_the_model_next_to_good_ones() -> None:
    entered: list[int] = []

    @tool(read_only=True)
    async def double(n: int) -> int:
        entered.append(n)
        return 2 * n

    calls = [
        ToolCall("ghost", {"n": 1}),
        ToolCall("double", {"n": 1}),
        ToolCall("double", {"n": "1"}),
        ToolCall("double", {}),
        ToolCall("double", {"n": 2, "m": 3}),
        ToolCall("double", {"n": 2}),
    ]
    played = play(double, calls=calls)
    kinds = [answer.error.kind if answer.error else answer.result for answer in played.answers]
    assert kinds == [
        "unknown_tool",
        2,
        "invalid_arguments",
        "invalid_arguments",
        "invalid_arguments",
        4,
    ]
    assert entered == [1, 2]
    unknown, wrong_type, missing, extra = (
        answer.error.message for answer in played.answers if answer.error
    )
    assert "'ghost'" in unknown
    assert "double" in unknown
    assert "`$.n`" in wrong_type
    assert "`n`" in missing
    assert "`m`" in extra
    assert played.answers[0].text == f"error (unknown_tool): {unknown}"


def test_calls_of_one_step_run_at_the_same_time_up_to_the_limit() -> None:
    running, most = 0, 0

    @tool(read_only=True)
    async def work() -> None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(1)
        running -= 1

    async def body(rt: Runtime) -> float:
        await rt.run("a", "hi")
        return clock().seconds

    model = ScriptedModel([Turn(tool_calls=[ToolCall("work")] * 6), Turn("done")])
    agent = Agent("a", model=model, tools=[work], tool_concurrency=2)
    assert Machine().run(body, agent) == 3.0
    assert most == 2


# -- the context --


def test_a_tool_knows_who_it_is() -> None:
    seen: list[ToolContext | SyncToolContext] = []

    @tool(read_only=True)
    async def first(ctx: ToolContext) -> str:
        seen.append(ctx)
        return ctx.key_for("a")

    @tool(read_only=True)
    def second(context: SyncToolContext, n: int = 1) -> str:
        seen.append(context)
        return context.key_for("a")

    deps = object()
    played = play(first, second, deps=deps)
    assert [
        (ctx.run_id, ctx.agent_id, ctx.call_id, ctx.attempt, ctx.deps, ctx.cancelled)
        for ctx in sorted(seen, key=lambda ctx: ctx.call_id)
    ] == [("r1", "a", "0.0", 1, deps, False), ("r1", "a", "0.1", 1, deps, False)]
    assert len({ctx.idempotency_key for ctx in seen}) == 2
    keys = {str(answer.result) for answer in played.answers}
    assert len(keys | {ctx.idempotency_key for ctx in seen}) == 4
    assert {ctx.key_for("a") for ctx in seen} == keys
    assert all(len(key) == 32 for key in keys)


def test_the_context_is_no_part_of_what_the_model_sees() -> None:
    @tool(read_only=True)
    async def look(ctx: ToolContext, n: int) -> int:
        return n

    parameters = look.schema.parameters
    assert parameters["properties"] == {"n": {"type": "integer"}}
    assert parameters["required"] == ["n"]


# -- steps --


class Colour(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Box:
    page: Page
    tags: set[str] = field(default_factory=set[str])


VALUES: list[tuple[Any, Any]] = [
    (None, type(None)),
    (True, bool),
    (7, int),
    (2**63, int),
    (-(2**63), int),
    (0.5, float),
    (float("inf"), float),
    ("text", str),
    ("", str),
    (b"bytes\x00\xff", bytes),
    ([1, "a", None], list[int | str | None]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ({"a": [1]}, dict[str, list[int]]),
    ({1: "a", 2: "b"}, dict[int, str]),
    ({dt.date(2030, 1, 2): 1}, dict[dt.date, int]),
    (Page("u", 3), Page),
    (Box(Page("u"), {"t"}), Box),
    ([Page("u")], list[Page]),
    (Point(1, 2), Point),
    (Colour.RED, Colour),
    (dt.datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), dt.datetime),
    (dt.datetime(2030, 1, 2, 3, 4, 5), dt.datetime),  # noqa: DTZ001  # naive stays naive
    (dt.date(2030, 1, 2), dt.date),
    (dt.timedelta(seconds=1.5), dt.timedelta),
    (decimal.Decimal("1.10"), decimal.Decimal),
    (uuid.UUID(int=7), uuid.UUID),
    (None, Page | None),
    ({"x": 1}, Any),
]


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("value", "result_type"),
    VALUES,
    ids=[f"{type(value).__name__}-{n}" for n, (value, _) in enumerate(VALUES)],
)
def test_a_step_gives_back_the_same_value_of_the_same_type_the_first_time_and_from_the_log(
    value: Any, result_type: Any, kind: str
) -> None:
    done: list[int] = []
    given: list[Any] = []

    def produce() -> Any:
        done.append(1)
        return value

    @tool(read_only=True, retry=Retry(2, delay=0))
    async def async_one(ctx: ToolContext) -> None:
        given.append(await ctx.step("s", produce, result_type=result_type))
        if ctx.attempt < 3:
            raise ConnectionError

    @tool(read_only=True, retry=Retry(2, delay=0))
    def sync_one(ctx: SyncToolContext) -> None:
        given.append(ctx.step("s", produce, result_type=result_type))
        if ctx.attempt < 3:
            raise ConnectionError

    play(async_one if kind == "async" else sync_one)
    assert done == [1]
    assert given == [value] * 3
    assert {type(found) for found in given} == {type(value)}


def test_a_step_takes_its_type_from_the_annotation_of_its_function() -> None:
    given: list[Any] = []

    async def of_async() -> set[int]:
        return {1}

    def of_sync() -> tuple[Page, ...]:
        return (Page("u"),)

    class Client:
        def method(self, url: str, *, size: int) -> Page:
            return Page(url, size)

        async def __call__(self) -> list[int]:
            return [1]

    @tool(read_only=True, retry=Retry(1, delay=0))
    async def work(ctx: ToolContext) -> None:
        given.append(await ctx.step("a", of_async))
        given.append(await ctx.step("b", of_sync))
        given.append(await ctx.step("c", Client().method, "u", size=2))
        given.append(await ctx.step("d", Client()))
        if ctx.attempt == 1:
            raise ConnectionError

    play(work)
    assert given == [{1}, (Page("u"),), Page("u", 2), [1]] * 2


def test_a_step_without_a_type_gives_back_the_same_type_the_first_time_and_from_the_log() -> None:
    given: list[Any] = []
    machine = Machine()

    def agent(*, hangs: bool) -> Agent:
        @tool(read_only=True)
        async def work(ctx: ToolContext) -> None:
            given.append(await ctx.step("s", lambda: (1, [(2,)])))
            if hangs:
                await asyncio.get_running_loop().create_future()

        return agent_of(work)

    async def begin(rt: Runtime) -> None:
        await rt.start("a", "hi", run_id="r1")
        await asyncio.sleep(1)

    machine.crash(begin, agent(hangs=True))
    machine.run(lambda rt: rt.result("r1"), agent(hangs=False))
    first, second = given
    assert first == second


def test_a_result_is_the_same_before_and_after_it_was_read_back() -> None:
    @tool(read_only=True)
    async def pair() -> tuple[int, int]:
        return (1, 2)

    played = play(pair)
    again = played.machine.run(lambda rt: rt.result("r1"))
    assert played.result.messages == again.messages


def test_a_step_is_recorded_when_it_is_done_and_before_the_tool_goes_on() -> None:
    @tool(read_only=True)
    async def work(ctx: ToolContext) -> int:
        seen: list[int] = []

        async def page(number: int) -> int:
            await asyncio.sleep(2)
            return number

        for number in range(3):
            seen.append(await ctx.step(f"p{number}", page, number))
            recorded = [
                event for event in machine.events("r1") if tag(event).endswith("step-completed")
            ]
            assert len(recorded) == number + 1
        return sum(seen)

    machine = Machine()
    machine.run(lambda rt: rt.run("a", "hi", run_id="r1"), agent_of(work))
    steps = [event for event in machine.events("r1") if isinstance(event, ToolStepCompleted)]
    assert [(step.key, step.value, step.elapsed_ms) for step in steps] == [
        ("p0", 0, 2_000),
        ("p1", 1, 2_000),
        ("p2", 2, 2_000),
    ]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_key_that_is_used_twice_in_one_attempt_is_refused(kind: str) -> None:
    @tool(read_only=True)
    async def async_one(ctx: ToolContext) -> None:
        await ctx.step("s", lambda: 1)
        with pytest.raises(DuplicateStep) as refused:
            await ctx.step("s", lambda: 2)
        assert (refused.value.call_id, refused.value.key) == ("0.0", "s")
        await ctx.step("s", lambda: 3)

    @tool(read_only=True)
    def sync_one(ctx: SyncToolContext) -> None:
        ctx.step("s", lambda: 1)
        ctx.step("s", lambda: 2)

    played = play(async_one if kind == "async" else sync_one)
    assert played.error.exception == "DuplicateStep"
    assert [event.value for event in played.of(ToolStepCompleted)] == [1]


@pytest.mark.parametrize("key", ["", 5, None, "\ud800"])
def test_a_key_that_names_nothing_is_refused_to_the_tool(key: Any) -> None:
    @tool(read_only=True)
    async def work(ctx: ToolContext) -> None:
        await ctx.step(key, lambda: 1)

    played = play(work)
    assert played.error.exception in ("TypeError", "UnserialisableValue")
    assert played.of(ToolStepCompleted) == []


def test_a_step_that_raises_or_whose_value_does_not_fit_is_not_recorded() -> None:
    def fails() -> int:
        raise ValueError("boom")

    def lies() -> int:
        return "text"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @tool(read_only=True)
    async def work(ctx: ToolContext) -> str:
        with pytest.raises(ValueError, match="boom"):
            await ctx.step("a", fails)
        with pytest.raises(UnserialisableValue):
            await ctx.step("b", lies)
        with pytest.raises(UnserialisableValue):
            await ctx.step("c", object)
        return await ctx.step("d", lambda: "fine")

    played = play(work)
    assert played.answer.result == "fine"
    assert [event.key for event in played.of(ToolStepCompleted)] == ["d"]


def test_a_step_that_failed_is_done_again_in_the_next_attempt() -> None:
    tries: list[int] = []

    @tool(read_only=True, retry=Retry(2, delay=0))
    async def work(ctx: ToolContext) -> int:
        def fetch() -> int:
            tries.append(ctx.attempt)
            if len(tries) < 3:
                raise ConnectionError
            return len(tries)

        return await ctx.step("s", fetch)

    assert play(work).answer.result == 3
    assert tries == [1, 2, 3]


def test_steps_of_two_calls_have_nothing_to_do_with_each_other() -> None:
    @tool(read_only=True)
    async def work(n: int, ctx: ToolContext) -> int:
        return await ctx.step("s", lambda: n)

    calls = [ToolCall("work", {"n": n}) for n in (1, 2, 1)]
    assert [answer.result for answer in play(work, calls=calls).answers] == [1, 2, 1]


def test_steps_of_one_attempt_may_run_at_the_same_time() -> None:
    @tool(read_only=True)
    async def work(ctx: ToolContext) -> list[int]:
        async def page(number: int) -> int:
            await asyncio.sleep(3 - number)
            return number

        async def step(number: int) -> int:
            return await ctx.step(f"p{number}", page, number)

        return list(await asyncio.gather(*(step(number) for number in range(3))))

    played = play(work)
    assert played.answer.result == [0, 1, 2]
    assert [event.key for event in played.of(ToolStepCompleted)] == ["p2", "p1", "p0"]


# -- progress --


def test_progress_is_throttled_to_one_event_each_half_second_and_the_last_always_gets_through() -> (
    None
):
    @tool(read_only=True)
    async def work(ctx: ToolContext) -> None:
        for number in range(22):
            await ctx.progress(done=number, total=22, note=f"n{number}")
            await asyncio.sleep(0.11)

    played = play(work)
    progress = played.of(ToolProgressed)
    assert [event.done for event in progress] == [0, 4, 9, 13, 18, 21]
    assert progress[-1] == ToolProgressed(call_id=C0, done=21, total=22, note="n21")
    assert [round(at, 6) for at in played.times(ToolProgressed)] == [0, 0.5, 1, 1.5, 2, 2.42]
    assert tag(played.events[played.events.index(progress[-1]) + 1]) == "tool-call-completed"


def test_the_last_progress_gets_through_also_if_the_tool_then_fails_or_runs_out_of_time() -> None:
    @tool(read_only=True)
    async def fails(ctx: ToolContext) -> None:
        await ctx.progress(done=1)
        await ctx.progress(done=2)
        raise ValueError

    @tool(read_only=True, timeout=0.3)
    async def hangs(ctx: ToolContext) -> None:
        await ctx.progress(done=3)
        await ctx.progress(done=4)
        await asyncio.sleep(9)

    @tool(read_only=True)
    def threaded(ctx: SyncToolContext) -> None:
        ctx.progress(done=5, note="x" * 5_000)
        ctx.progress(done=6, total=7.5)

    progress = play(fails, hangs, threaded).of(ToolProgressed)
    by_call = {
        call: [e.done for e in progress if e.call_id == call] for call in ("0.0", "0.1", "0.2")
    }
    assert by_call == {"0.0": [1, 2], "0.1": [3, 4], "0.2": [5, 6]}
    assert all(len(event.note) <= 2_000 for event in progress)


@pytest.mark.parametrize("wrong", [{"done": "x"}, {"done": None}, {"done": 1, "note": 5}])
def test_progress_that_makes_no_sense_is_an_error_to_the_tool(wrong: Any) -> None:
    @tool(read_only=True)
    async def work(ctx: ToolContext) -> None:
        await ctx.progress(**wrong)

    assert play(work).error.kind == "error"


def test_progress_after_the_tool_has_returned_is_refused_to_it_and_harms_nobody() -> None:
    refused: list[BaseException] = []

    @tool(read_only=True)
    async def work(ctx: ToolContext) -> str:
        async def later() -> None:
            await asyncio.sleep(1)
            try:
                await ctx.progress(done=1)
            except OutliveError as error:
                refused.append(error)

        tasks.append(asyncio.ensure_future(later()))
        return "done"

    @tool(read_only=True)
    async def longer() -> None:
        await asyncio.sleep(3)

    tasks: list[asyncio.Future[None]] = []
    machine = Machine()
    result = machine.run(lambda rt: rt.run("a", "hi", run_id="r1"), agent_of(work, longer))
    assert result.status == "completed"
    assert [type(error) for error in refused] == [AttemptEnded]


# -- time --


def test_an_async_tool_that_runs_out_of_time_is_cancelled_and_the_model_is_told() -> None:
    cancelled: list[float] = []

    @tool(read_only=True, timeout=30)
    async def hangs() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            cancelled.append(clock().seconds)

    played = play(hangs)
    assert (played.error.kind, cancelled) == ("timeout", [30.0])
    assert "30" in played.error.message
    assert played.times(ToolCallFailed) == [30.0]
    assert played.of(ToolResultIgnored) == []


def test_a_timeout_may_be_a_timedelta_and_counts_for_each_attempt() -> None:
    @tool(read_only=True, timeout=dt.timedelta(minutes=1), retry=Retry(2, delay=10, jitter=0))
    async def hangs(ctx: ToolContext) -> int:
        if ctx.attempt < 3:
            await asyncio.sleep(1_000)
        return ctx.attempt

    played = play(hangs)
    assert played.answer.result == 3
    assert played.times(ToolCallStarted) == [0, 70, 150]
    assert [event.retry_at_ns for event in played.of(ToolCallFailed)] == [
        START_NS + 70 * SECOND,
        START_NS + 150 * SECOND,
    ]


def test_a_tool_that_ends_in_time_is_not_disturbed() -> None:
    @tool(read_only=True, timeout=10)
    async def quick() -> str:
        await asyncio.sleep(9.999)
        return "just so"

    assert play(quick, linger=20).answer.result == "just so"


def test_an_async_tool_that_ignores_its_cancellation_is_over_all_the_same() -> None:
    refused: list[BaseException] = []

    @tool(read_only=True, timeout=5)
    async def stubborn(ctx: ToolContext) -> str:
        while not ctx.cancelled:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
        for wanted in (ctx.step("s", lambda: 1), ctx.progress(done=1)):
            try:
                await wanted
            except AttemptEnded as error:
                refused.append(error)
        await asyncio.sleep(1)
        return "too late"

    @tool(read_only=True)
    async def longer() -> None:
        await asyncio.sleep(60)

    played = play(stubborn, longer)
    assert played.answers[0].error is not None
    assert played.answers[0].error.kind == "timeout"
    assert len(refused) == 2
    assert played.times(ToolCallFailed, ToolResultIgnored) == [5.0, 6.0]
    (late,) = played.of(ToolResultIgnored)
    assert (late.call_id, late.attempt, late.outcome) == ("0.0", 1, "completed")
    assert played.of(ToolStepCompleted, ToolProgressed) == []


@pytest.mark.parametrize(("in_doubt", "attempts"), [("retry", [1, 2]), ("fail", [1])])
def test_a_thread_that_does_not_come_back_is_abandoned_and_its_call_is_in_doubt(
    in_doubt: Literal["retry", "fail"], attempts: list[int]
) -> None:
    entered: list[int] = []
    with Gate() as gate:

        @tool(timeout=5, retry=Retry(1, delay=10, jitter=0), in_doubt=in_doubt)
        def stuck(ctx: SyncToolContext) -> str:
            entered.append(ctx.attempt)
            if ctx.attempt == 1:
                gate.wait()
            return f"attempt {ctx.attempt}"

        @tool(read_only=True)
        async def release() -> None:
            await asyncio.sleep(60)
            gate.open()
            await asyncio.sleep(60)

        played = play(stuck, release)
    assert entered == attempts
    answer = played.answers[0]
    if in_doubt == "retry":
        assert answer.result == "attempt 2"
        assert played.times(ToolCallStarted)[-1] == 15.0
    else:
        assert answer.error is not None
        assert answer.error.kind == "timeout"
        assert "unknown" in answer.error.message
    (late,) = played.of(ToolResultIgnored)
    assert (late.attempt, late.outcome) == (1, "completed"), "recorded as late, and not applied"


def test_a_thread_that_raises_after_it_was_abandoned_is_recorded_as_late_too() -> None:
    with Gate() as gate:

        @tool(timeout=5, in_doubt="fail")
        def stuck() -> str:
            gate.wait()
            raise ValueError

        @tool(read_only=True)
        async def release() -> None:
            await asyncio.sleep(60)
            gate.open()
            await asyncio.sleep(60)

        played = play(stuck, release)
    assert [event.outcome for event in played.of(ToolResultIgnored)] == ["failed"]


def test_a_thread_that_was_abandoned_may_do_no_more_steps() -> None:
    refused: list[BaseException] = []
    seen: list[bool] = []
    with Gate() as gate:

        @tool(timeout=5, in_doubt="fail")
        def stuck(ctx: SyncToolContext) -> None:
            seen.append(ctx.cancelled)
            gate.wait()
            seen.append(ctx.cancelled)
            for act in (lambda: ctx.step("s", lambda: 1), lambda: ctx.progress(done=1)):
                try:
                    act()
                except AttemptEnded as error:
                    refused.append(error)

        @tool(read_only=True)
        async def release() -> None:
            await asyncio.sleep(60)
            gate.open()
            await asyncio.sleep(60)

        played = play(stuck, release)
    assert len(refused) == 2
    assert seen == [False, True]
    assert played.of(ToolStepCompleted, ToolProgressed) == []


def test_a_late_result_is_recorded_also_if_the_run_is_over_by_then() -> None:
    machine = Machine()
    with Gate() as gate:

        @tool(timeout=5, in_doubt="fail")
        def stuck() -> str:
            gate.wait()
            return "late"

        async def body(rt: Runtime) -> None:
            await rt.run("a", "hi", run_id="r1")
            gate.open()
            await asyncio.sleep(10)

        machine.run(body, agent_of(stuck))
    assert machine.kinds("r1")[-2:] == ["run-completed", "tool-result-ignored"]


def test_an_awaitable_that_a_sync_tool_returned_is_cancelled_at_the_deadline() -> None:
    ended: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(50)
        finally:
            ended.append(clock().seconds)

    @tool(read_only=True, timeout=5)
    def begin() -> Any:
        return work()

    play(begin, linger=100)
    assert ended == [5.0]


def test_what_is_logged_by_a_tool_says_which_call_it_is(logs: Logs) -> None:
    @tool(read_only=True)
    async def work(ctx: ToolContext) -> None:
        ctx.log.info("page_read", url="u")

    play(work)
    assert logs[0] == {
        "run_id": "r1",
        "call_id": "0.0",
        "attempt": 1,
        "url": "u",
        "event": "page_read",
        "log_level": "info",
    }


def test_a_retry_is_made_after_its_wait_and_tells_nobody_until_it_is_decided() -> None:
    @tool(read_only=True, retry=Retry(3, delay=2, jitter=0))
    async def flaky(ctx: ToolContext) -> str:
        if ctx.attempt < 4:
            raise ConnectionError(f"attempt {ctx.attempt}")
        return "up"

    played = play(flaky)
    assert played.answer.result == "up"
    assert played.times(ToolCallStarted) == [0, 2, 6, 14]
    assert len(played.answers) == 1


def test_the_model_is_told_the_last_failure_when_no_retry_is_left() -> None:
    @tool(read_only=True, retry=2)
    async def down(ctx: ToolContext) -> None:
        raise ConnectionError(f"attempt {ctx.attempt}")

    played = play(down)
    assert played.error.message == "ConnectionError: attempt 3"


def test_what_retry_on_does_not_name_is_not_retried() -> None:
    @tool(read_only=True, retry=Retry(5, retry_on=("ConnectionError",)))
    async def odd(ctx: ToolContext) -> None:
        raise KeyError(ctx.attempt)

    assert play(odd).error.message == "KeyError: 1"


def test_what_inherits_from_a_type_that_retry_on_names_is_retried() -> None:
    @tool(read_only=True, retry=Retry(1, retry_on=("ConnectionError",)))
    async def refused(ctx: ToolContext) -> None:
        raise ConnectionRefusedError(ctx.attempt)

    assert play(refused).error.message == "ConnectionRefusedError: 2"


def test_runs_that_fail_at_the_same_instant_are_not_all_retried_at_the_same_instant() -> None:
    @tool(read_only=True, retry=Retry(1, delay=10, jitter=0.5))
    async def down() -> None:
        raise ConnectionError

    machine = Machine()

    async def body(rt: Runtime) -> None:
        await asyncio.gather(*(rt.run("a", "hi", run_id=f"r{n}") for n in range(10)))

    machine.run(body, agent_of(down))
    due = {
        event.retry_at_ns
        for number in range(10)
        for event in machine.events(f"r{number}")
        if isinstance(event, ToolCallFailed) and event.retry_at_ns is not None
    }
    assert len(due) == 10


# -- definitions --


def test_the_schema_comes_from_the_signature_and_the_docstring() -> None:
    @tool(read_only=True)
    async def search(  # noqa: PLR0917
        query: str,
        limit: int = 10,
        kind: Literal["news", "web"] = "web",
        since: dt.date | None = None,
        tags: list[str] = [],  # noqa: B006  # copied at each call
        score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5,
    ) -> list[Page]:
        """Search for pages.

        The newest come first.

        Args:
            query: what to look for,
                in words.
            limit (int): at most so many.
            tags: all of them must fit: each one.

        Returns:
            The pages.
        """
        return []

    schema = search.schema
    assert schema.name == "search"
    assert schema.description == "Search for pages.\n\nThe newest come first."
    properties: Any = schema.parameters["properties"]
    assert schema.parameters["type"] == "object"
    assert schema.parameters["required"] == ["query"]
    assert properties["query"] == {"type": "string", "description": "what to look for, in words."}
    assert properties["limit"] == {
        "type": "integer",
        "description": "at most so many.",
        "default": 10,
    }
    assert properties["kind"] == {"enum": ["news", "web"], "default": "web"}
    assert properties["since"]["anyOf"] == [{"type": "string", "format": "date"}, {"type": "null"}]
    assert properties["tags"]["description"] == "all of them must fit: each one."
    assert (properties["score"]["minimum"], properties["score"]["maximum"]) == (0, 1)
    output: Any = schema.output
    assert output["type"] == "array"
    assert output["items"] == {"$ref": "#/$defs/Page"}
    assert output["$defs"]["Page"]["properties"]["url"] == {"type": "string"}
    assert msgspec.json.decode(msgspec.json.encode(schema.parameters)) == schema.parameters


def test_a_tool_without_parameters_docstring_or_return_annotation_has_a_schema() -> None:
    @tool(read_only=True)
    async def ping():  # type: ignore[no-untyped-def]  # noqa: ANN202
        pass

    schema = ping.schema
    assert (schema.description, schema.output) == ("", None)
    assert schema.parameters["properties"] == {}
    assert schema.parameters["required"] == []


def test_name_and_description_may_be_given() -> None:
    @tool(name="other-name", description="Other words.", read_only=True)
    def function() -> None:
        """Words."""

    assert (function.name, function.schema.name) == ("other-name", "other-name")
    assert function.schema.description == "Other words."
    assert repr(function) == "<Tool other-name>"


def test_defaults_are_used_and_mutable_ones_are_not_shared() -> None:
    seen: list[Any] = []

    @tool(read_only=True)
    async def work(
        n: int = 7,
        words: list[str] = ["a"],  # noqa: B006  # that is the point
        page: Page | None = None,
    ) -> None:
        words.append("b")
        seen.append((n, list(words), page))

    play(work, calls=[ToolCall("work"), ToolCall("work"), ToolCall("work", {"n": 8})])
    assert seen == [(7, ["a", "b"], None), (7, ["a", "b"], None), (8, ["a", "b"], None)]


def test_a_tool_may_be_called_as_the_function_it_is() -> None:
    @tool(read_only=True)
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert add(1) == 2
    assert add(1, b=5) == 6


def test_a_bound_method_may_be_a_tool() -> None:
    class Store:
        async def read(self, key: str) -> str:
            """Read a key."""
            return f"value of {key}"

    method = tool(read_only=True)(Store().read)
    assert play(method, calls=one("read", key="k")).answer.result == "value of k"
    assert method.schema.description == "Read a key."


def no_annotation(x) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    pass


def star(*names: str) -> None:
    pass


def stars(**names: str) -> None:
    pass


def positional(x: int, /) -> None:
    pass


def no_schema(x: threading.Lock) -> None:
    pass


def no_output_schema() -> threading.Lock:
    raise NotImplementedError


def unknown_name(x: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821, UP037  # pyright: ignore[reportUndefinedVariable]
    pass


def wrong_context(ctx: ToolContext) -> None:
    pass


async def wrong_sync_context(ctx: SyncToolContext) -> None:
    pass


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


REFUSED: list[tuple[AnyFunction, str]] = [
    (no_annotation, "parameter 'x'.*annotation"),  # pyright: ignore[reportUnknownMemberType]
    (star, r"\*args"),
    (stars, r"\*args"),
    (positional, "by name"),
    (no_schema, "parameters"),
    (no_output_schema, "output"),
    (unknown_name, "Nowhere"),
    (wrong_context, "SyncToolContext"),
    (wrong_sync_context, "ToolContext"),
    (generator, "generator"),
    (async_generator, "generator"),
]


@pytest.mark.parametrize(
    ("function", "reason"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_function_that_cannot_be_a_tool_is_refused_with_the_reason(
    function: AnyFunction, reason: str
) -> None:
    with pytest.raises(InvalidDefinition, match=reason):
        tool(read_only=True)(function)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "two words"}, "name"),
        ({"name": "1st"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "é"}, "name"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": dt.timedelta(0)}, "timeout"),
        ({"retry": -1}, "^retry is Retry"),
        ({"in_doubt": "guess"}, "in_doubt"),
        ({"requires_approval": ""}, "requires_approval"),
        ({"requires_approval": 1}, "requires_approval"),
        ({"approval_expires": 60}, "approval_expires"),
        ({"requires_approval": True, "approval_expires": -1}, "approval_expires"),
        ({"requires_approval": True, "approval_expires": 1e12}, "approval_expires"),
        ({"timeout": 1e300}, "a hundred years"),
        ({"timeout": 10**400}, "a hundred years"),
        ({"timeout": dt.timedelta.max}, "a hundred years"),
        ({"in_doubt": "RETRY"}, "in_doubt"),
    ],
)
def test_an_option_that_cannot_hold_is_refused_with_the_reason(
    options: dict[str, Any], reason: str
) -> None:
    def function() -> None:
        pass

    with pytest.raises(InvalidDefinition, match=reason):
        tool(read_only=True, **options)(function)


@pytest.mark.parametrize("options", [{"timeout": "x"}, {"timeout": []}, {"retry": "x"}])
def test_an_option_of_the_wrong_type_is_refused_with_the_reason(options: dict[str, Any]) -> None:
    def function() -> None:
        pass

    with pytest.raises(InvalidDefinition):
        tool(read_only=True, **options)(function)


@pytest.mark.parametrize("annotation", ["msgspec.Nowhere", "not a type!"])
def test_an_annotation_that_cannot_be_read_is_refused_with_the_reason(annotation: str) -> None:
    def function(x: int) -> None:
        pass

    function.__annotations__["x"] = annotation
    with pytest.raises(InvalidDefinition):
        tool(read_only=True)(function)


@pytest.mark.parametrize("wrong", [5, "tool", None, object()])
def test_only_functions_and_tools_are_tools(wrong: Any) -> None:
    with pytest.raises(InvalidDefinition):
        as_tool(wrong)


def test_an_agent_that_cannot_work_is_refused_with_the_reason() -> None:
    @tool(read_only=True)
    def one() -> None:
        pass

    def make(options: dict[str, Any]) -> Agent:
        return Agent(**options)

    wrong: list[dict[str, Any]] = [
        {"id": ""},
        {"id": " x"},
        {"id": 5},
        {"model": None},
        {"model": "gpt"},
        {"instructions": 5},
        {"max_steps": 0},
        {"max_steps": 1.5},
        {"max_steps": True},
        {"tool_concurrency": 0},
        {"tools": [one, one]},
        {"tools": [5]},
    ]
    for options in wrong:
        with pytest.raises(InvalidDefinition):
            make({"id": "a", "model": EchoModel(), **options})


def test_a_tool_that_does_not_say_what_a_crash_may_do_warns_where_it_is_defined() -> None:
    with pytest.warns(RepeatedAfterCrash, match="'risky'") as caught:

        @tool(timeout=5)
        def risky() -> None:
            pass

    assert caught[0].filename == __file__
    assert risky.in_doubt == "retry"


def bare() -> list[object]:
    @tool
    def risky() -> None:
        pass

    return [risky]


def plain() -> list[object]:
    def risky() -> None:
        pass

    return [Agent("a", model=EchoModel(), tools=[risky])]


@pytest.mark.parametrize("define", [bare, plain])
def test_a_tool_made_without_options_warns_too(define: Callable[[], list[object]]) -> None:
    with pytest.warns(RepeatedAfterCrash, match="'risky'"):
        define()


@pytest.mark.parametrize("define", [bare, plain])
def test_a_tool_made_without_options_warns_where_it_is_defined(
    define: Callable[[], list[object]],
) -> None:
    with pytest.warns(RepeatedAfterCrash) as caught:
        define()
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "options",
    [{"read_only": True}, {"idempotent": True}, {"in_doubt": "retry"}, {"in_doubt": "fail"}],
)
def test_a_tool_that_says_so_does_not_warn(options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @tool(**options)
        def safe() -> None:
            pass

    assert safe.in_doubt == options.get("in_doubt", "retry")


def test_the_model_is_shown_the_schemas_of_its_tools_in_their_order() -> None:
    requests: list[ModelRequest] = []

    @tool(read_only=True)
    def b() -> None:
        pass

    @tool(read_only=True)
    def a() -> None:
        pass

    def script(request: ModelRequest) -> Turn:
        requests.append(request)
        return Turn("done")

    agent = Agent("a", model=ScriptedModel(script), tools=[b, a])
    Machine().run(lambda rt: rt.run("a", "hi"), agent)
    assert [schema.name for schema in requests[0].tools] == ["b", "a"]


def test_a_completed_call_says_how_long_it_took() -> None:
    @tool(read_only=True)
    async def work() -> None:
        await asyncio.sleep(1.25)

    @tool(read_only=True)
    async def fail() -> None:
        await asyncio.sleep(0.5)
        raise ValueError

    played = play(work, fail)
    assert [event.elapsed_ms for event in played.of(ToolCallCompleted)] == [1_250]
    assert [event.elapsed_ms for event in played.of(ToolCallFailed)] == [500]


def test_a_hung_test_says_so() -> None:
    """The loop of these tests does not wait for ever."""

    async def body() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(AssertionError, match="nothing is ready"):
        run_virtual(body())
