"""The runtime without await, for code without an event loop. In real time: nothing here waits."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Finish,
    ModelPart,
    ModelRequest,
    Runtime,
    ScriptedModel,
    SyncRun,
    SyncRuntime,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.loop_actor import BlockingAskRefused
from outlive.events import (
    AgentNotFound,
    InvalidId,
    InvalidOffset,
    LogClosed,
    LogInUse,
    MemoryLog,
    OutliveError,
    Refused,
    RunExists,
    RunNotFound,
    run_stream,
    verify,
)
from tests.support import tag


class Silent:
    """A model that never answers."""

    name = "silent"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        await asyncio.get_running_loop().create_future()
        yield Finish()


@tool(read_only=True)
async def add(a: int, b: int, ctx: ToolContext) -> int:
    return await ctx.step("sum", lambda: a + b, result_type=int)


@tool(read_only=True)
def shout(text: str, ctx: SyncToolContext) -> str:
    ctx.progress(done=1)
    return ctx.step("upper", text.upper)


echo = Agent("echo", model=EchoModel())
silent = Agent("silent", model=Silent())
worker = Agent(
    "worker",
    model=ScriptedModel(
        [
            Turn(
                "let me see",
                tool_calls=[
                    ToolCall("add", {"a": 1, "b": 2}),
                    ToolCall("shout", {"text": "hey"}),
                ],
            ),
            Turn("three and HEY"),
        ]
    ),
    tools=[add, shout],
)


def raised_by(call: Callable[[], object]) -> type[BaseException] | None:
    """Return the type of what `call` raises; the error itself, and its frames, are let go."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  # any, that is the point
        return type(error)
    return None


@contextmanager
def elsewhere(body: Callable[[], Any]) -> Generator[Future[Any]]:
    """Run `body` in a thread of its own, and have it end within a few seconds."""
    future = Future[Any]()

    def run() -> None:
        try:
            future.set_result(body())
        except BaseException as error:  # noqa: BLE001  # looked at by the test
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield future
    thread.join(5)
    assert not thread.is_alive(), "it still waits"


def test_a_run_goes_from_its_input_to_its_output_without_await() -> None:
    with SyncRuntime(None, agents=[worker]) as rt:
        result = rt.run("worker", "hi", run_id="r1", metadata={"a": 1})
        assert result.unwrap() == "three and HEY"
        assert rt.result("r1") == result
        assert [tag(recorded.event) for recorded in rt.observe("r1")][-1] == "run-completed"
        assert rt.log.open_entries() == []


def test_a_started_run_has_events_text_and_a_result() -> None:
    with SyncRuntime(None, agents=[worker]) as rt:
        run = rt.start(worker, "hi")
        assert isinstance(run, SyncRun)
        assert repr(run) == f"<SyncRun {run.id}>"
        assert "".join(map(str, run.text())) == "let me seethree and HEY"
        versions = [recorded.version for recorded in run.events()]
        assert versions == list(range(1, len(versions) + 1))
        assert [recorded.version for recorded in run.events(after=3)] == versions[3:]
        assert run.result(timeout=5).status == "completed"


def test_it_has_the_methods_of_the_other_with_the_same_parameters() -> None:
    def face(of: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: [
                parameter.replace(annotation=inspect.Parameter.empty)
                for parameter in inspect.signature(method).parameters.values()
            ]
            for name, method in inspect.getmembers(of, inspect.isfunction)
            if not name.startswith("_") and name not in ("iterate", "wait_for")
        }

    assert face(SyncRuntime) == face(Runtime)
    assert inspect.signature(SyncRuntime) == inspect.signature(Runtime)


def test_a_named_reader_goes_on_where_it_saved(tmp_path: Path) -> None:
    for turn in range(2):
        with SyncRuntime(tmp_path / "data", agents=[echo]) as rt:
            rt.run("echo", "hi", run_id="r1")
            with rt.subscription("books") as records:
                assert (records.name, records.stream, records.offset) == ("books", None, turn)
                assert next(records).position == turn + 1
                records.save()
            with pytest.raises(StopIteration):
                next(records)
            events = rt.subscription("one", stream=run_stream("r1"))
            assert [next(events).version for _ in range(2)] == [1, 2]
            events.close()


def test_what_is_refused_is_refused_in_the_same_way() -> None:
    with SyncRuntime(None, agents=[echo]) as rt:
        rt.run("echo", "hi", run_id="r1")
        with pytest.raises(RunExists):
            rt.start("echo", "ho", run_id="r1")
        with pytest.raises(AgentNotFound):
            rt.start("ghost", "hi")
        with pytest.raises(InvalidId):
            rt.start("echo", "hi", run_id="")
        with pytest.raises(RunNotFound):
            rt.result("ghost")
        with pytest.raises(RunNotFound):
            next(rt.observe("ghost"))
        with pytest.raises(InvalidOffset):
            next(rt.observe("r1", after=99))
        with pytest.raises(TypeError):
            rt.start("echo", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_wait_may_be_bounded() -> None:
    with SyncRuntime(None, agents=[silent]) as rt:
        run = rt.start("silent", "hi")
        with pytest.raises(TimeoutError):
            run.result(timeout=0.01)


def test_it_may_be_used_from_many_threads() -> None:
    with SyncRuntime(None, agents=[worker]) as rt:

        def use(number: int) -> str:
            run = rt.start("worker", "hi", run_id=f"r{number % 3}")
            assert len(list(run.events())) > 5
            return run.result().output

        with (
            elsewhere(lambda: [use(number) for number in range(10)]) as one,
            elsewhere(lambda: [use(number) for number in range(10)]) as two,
        ):
            pass
        assert set(one.result() + two.result()) == {"three and HEY"}


def test_a_compacted_run_has_the_same_result_and_text(tmp_path: Path) -> None:
    slow = Agent("slow", model=ScriptedModel([Turn("one two three four", delay=0.03)]))
    with SyncRuntime(tmp_path, agents=[slow]) as rt:
        run = rt.start("slow", "hi", run_id="r1")
        result = run.result()
        events = list(run.events())
        assert rt.compact(before=datetime(2020, 1, 1, tzinfo=UTC)).records == 0
        done = rt.compact()
        assert done.events == len(events) - len(list(run.events())) > 0
        assert run.result() == result
        assert list(run.text()) == ["one two three four"]
    with SyncRuntime(tmp_path, agents=[slow]) as rt:
        assert rt.result("r1") == result
    with SyncRuntime(tmp_path, agents=[slow], role="visitor") as rt:
        assert raised_by(rt.compact) is Refused
    assert verify(tmp_path).status == "ok with gaps"


def test_a_sync_tool_may_use_the_runtime_that_runs_it() -> None:
    @tool(read_only=True)
    def delegate(text: str) -> str:
        return rt.run("echo", text).output

    boss = Agent(
        "boss",
        model=ScriptedModel([Turn(tool_calls=[ToolCall("delegate", {"text": "x"})]), Turn("ok")]),
        tools=[delegate],
    )
    with SyncRuntime(None, agents=[echo, boss]) as rt:
        result = rt.run("boss", "hi")
        assert getattr(result.messages[2], "result", None) == "x"


# -- on a loop --


def test_on_the_thread_of_a_running_loop_it_is_refused() -> None:
    with SyncRuntime(None, agents=[echo]) as rt:
        run = rt.start("echo", "hi", run_id="r1")

        async def body() -> None:
            for call in (
                lambda: rt.start("echo", "hi"),
                lambda: rt.run("echo", "hi"),
                lambda: rt.result("r1"),
                lambda: next(rt.observe("r1")),
                lambda: next(run.text()),
                run.result,
                rt.close,
            ):
                with pytest.raises(BlockingAskRefused):
                    call()

        asyncio.run(body())
        assert run.result().status == "completed"


def test_in_an_async_tool_it_is_refused_too() -> None:
    @tool(read_only=True)
    async def delegate() -> str:
        return rt.run("echo", "x").output

    boss = Agent(
        "boss",
        model=ScriptedModel([Turn(tool_calls=[ToolCall("delegate")]), Turn("ok")]),
        tools=[delegate],
    )
    with SyncRuntime(None, agents=[echo, boss]) as rt:
        result = rt.run("boss", "hi")
        error = getattr(result.messages[2], "error", None)
        assert error is not None
        assert error.exception == "BlockingAskRefused"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_entering_it_on_the_thread_of_a_running_loop_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop

    def noted() -> asyncio.AbstractEventLoop:
        made.append(new_event_loop())
        return made[-1]

    async def body() -> type[BaseException] | None:
        return raised_by(SyncRuntime(None, agents=[echo]).__enter__)

    monkeypatch.setattr(asyncio, "new_event_loop", noted)
    raised = asyncio.run(body())
    left_open = [loop for loop in made if not loop.is_closed()]
    for loop in left_open:
        loop.close()
    assert raised is BlockingAskRefused
    assert left_open == []


# -- leaving --


def test_a_generator_that_is_left_early_detaches_and_touches_nobody() -> None:
    log = MemoryLog()
    with SyncRuntime(None, agents=[silent, echo], log=log) as rt:
        run = rt.start("silent", "hi")
        for _ in run.events():
            break
        events = run.events()
        next(events)
        events.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        assert not log._feed._by_stream  # pyright: ignore[reportPrivateUsage]  # the views follow all
        never_begun = run.events()
        del never_begun
        assert rt.run("echo", "hi").output == "hi"


def test_a_generator_may_be_finished_after_the_runtime_was_closed() -> None:
    rt = SyncRuntime(None, agents=[echo])
    with rt:
        rt.run("echo", "hi", run_id="r1")
        events = rt.observe("r1")
        next(events)
    with pytest.raises(LogClosed):
        next(events)
    events.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def test_who_waits_in_another_thread_when_it_closes_is_told() -> None:
    waiting = threading.Barrier(3)
    with SyncRuntime(None, agents=[silent]) as rt:
        run = rt.start("silent", "hi")

        def result() -> None:
            waiting.wait(5)
            run.result()

        def observe() -> None:
            events = run.events()
            next(events)
            waiting.wait(5)
            for _ in events:
                pass

        with elsewhere(result) as one, elsewhere(observe) as two:
            waiting.wait(5)
            rt.close()
    for future in (one, two):
        assert isinstance(future.exception(timeout=5), LogClosed)


def test_it_is_used_while_it_is_open() -> None:
    rt = SyncRuntime(None, agents=[echo])
    with pytest.raises(LogClosed):
        rt.start("echo", "hi")
    with pytest.raises(LogClosed):
        _ = rt.log
    rt.close()
    with rt:
        rt.run("echo", "hi", run_id="r1")
        rt.close()
        with pytest.raises(LogClosed):
            rt.result("r1")
    rt.close()
    with pytest.raises(LogClosed):
        rt.observe("r1")


def test_closing_leaves_no_thread_of_the_loop_behind() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with SyncRuntime(None, agents=[echo]) as rt:
        rt.run("echo", "hi")
        assert "outlive-loop" in {thread.name for thread in threading.enumerate()}
    assert "outlive-loop" not in {thread.name for thread in threading.enumerate()} - before


def test_an_error_inside_the_with_is_passed_on_after_closing() -> None:
    rt = SyncRuntime(None, agents=[echo])
    with pytest.raises(RunNotFound), rt:
        rt.result("ghost")
    with pytest.raises(LogClosed):
        _ = rt.log


def test_what_fails_on_entering_leaves_nothing_open(tmp_path: Path) -> None:
    with SyncRuntime(tmp_path, agents=[echo]):
        with pytest.raises(LogInUse):
            SyncRuntime(tmp_path, agents=[echo]).__enter__()
        assert [thread.name for thread in threading.enumerate()].count("outlive-loop") == 1
    with SyncRuntime(tmp_path, agents=[echo]) as again:
        assert again.run("echo", "hi").output == "hi"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_after_entering_failed_it_is_closed_as_any_other(tmp_path: Path) -> None:
    with SyncRuntime(tmp_path, agents=[echo]):
        failed = SyncRuntime(tmp_path, agents=[echo])
        with pytest.raises(LogInUse):
            failed.__enter__()
        raised = [raised_by(lambda: failed.start("echo", "hi")), raised_by(failed.close)]
        assert raised == [LogClosed, None]


def test_entering_it_twice_is_refused() -> None:
    rt = SyncRuntime(None, agents=[echo])
    with rt:
        pass
    with pytest.raises(OutliveError, match="entered once"):
        rt.__enter__()
