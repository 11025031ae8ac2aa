"""Tools in processes of their own, which are killed and outlive nobody."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    Turn,
    tool,
)
from outlive.actors.workers import former
from outlive.events import (
    InvalidDefinition,
    LmdbReader,
    ToolCallFailed,
    ToolStepCompleted,
    Value,
    run_stream,
)
from outlive.projections import RunResult
from tests.actors import worker_tools

pytestmark = pytest.mark.slow


def agent(made: Tool[..., Any], **arguments: Value) -> Agent:
    script = [Turn(tool_calls=[ToolCall(made.name, arguments)]), Turn("done")]
    return Agent("agent", model=ScriptedModel(script), tools=[made])


def play(made: Tool[..., Any], path: Path | None = None, **arguments: Value) -> Played:
    async def body() -> Played:
        async with Runtime(path, agents=[agent(made, **arguments)]) as rt:
            result = await rt.run("agent", "x", run_id="one")
            return Played(result, [it.event for it in rt.log.read(run_stream("one"))])

    return asyncio.run(body())


class Played:
    """What came of a run with one call."""

    def __init__(self, result: RunResult, events: list[Any]) -> None:
        assert result.output == "done"
        self.told = result.messages[2].text
        self.events = events
        self.failures = [it.error for it in events if isinstance(it, ToolCallFailed)]
        self.attempts = [type(it).__name__ for it in events].count("ToolCallStarted")


def gone(pid: int, patience: float = 20.0) -> bool:
    """Wait until a process is gone; a zombie is, too."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], patience)[0])
    finally:
        os.close(handle)


def test_a_call_runs_in_a_process_of_its_own_with_steps_and_progress() -> None:
    played = play(worker_tools.whoami, n=3)
    pid, parent, *done = eval(played.told)  # a list of numbers
    assert pid != os.getpid()
    assert parent == os.getpid()
    assert done == [0, 1, 2]
    assert [type(it).__name__ for it in played.events].count("ToolStepCompleted") == 3
    assert "ToolProgressed" in [type(it).__name__ for it in played.events]
    assert gone(pid)


def test_an_async_tool_has_a_loop_there() -> None:
    assert eval(play(worker_tools.gathers, n=4).told) == [0, 2, 4, 6]


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_worker_that_dies_is_a_failed_attempt_and_steps_are_kept(how: str) -> None:
    played = play(worker_tools.dies_once, how=how)
    assert "attempt 2" in played.told
    (failed,) = played.failures
    assert failed.kind == "worker_died"
    assert ("signal 9" if how == "kill" else "exited with 7") in failed.message
    assert sum(isinstance(it, ToolStepCompleted) for it in played.events) == 1


def test_a_worker_that_dies_in_doubt_is_not_called_again() -> None:
    played = play(worker_tools.dies_in_doubt)
    assert played.attempts == 1
    assert "outcome is unknown" in played.told


def test_a_deadline_kills_the_worker_and_what_it_has_started(tmp_path: Path) -> None:
    played = play(worker_tools.hangs, pid_file=str(tmp_path / "pids"))
    assert [it.kind for it in played.failures] == ["timeout"]
    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))


@pytest.mark.parametrize(
    ("what", "said", "attempts"),
    [("error", "ValueError: no good", 1), ("exit", "SystemExit", 1), ("refused", "BrokenPipe", 2)],
)
def test_what_a_tool_raises_there_is_told_to_the_model(what: str, said: str, attempts: int) -> None:
    played = play(worker_tools.raises, what=what)
    assert said in played.told
    assert [it.kind for it in played.failures] == ["error"] * attempts


def test_large_results_come_through_and_those_that_are_too_large_do_not() -> None:
    assert len(play(worker_tools.returns_much, size=5_000_000).told) >= 5_000_000
    played = play(worker_tools.returns_much, size=70_000_000)
    assert [it.kind for it in played.failures] == ["too_large"]


def test_a_worker_that_misbehaves_is_answered_once_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    played = play(worker_tools.misbehaves)
    assert "the parent's" in played.told
    assert "noise" in capfd.readouterr().out


def test_a_result_that_cannot_be_stored_fails_the_call() -> None:
    played = play(worker_tools.returns_nonsense)
    assert [it.kind for it in played.failures] == ["unserialisable"]


def test_a_plain_function_may_be_made_a_tool_elsewhere() -> None:
    made = tool(isolation="process", read_only=True, name="other")(worker_tools.plain)
    assert "42" in play(made, a=41).told


# -- refused at construction --


def inside() -> Callable[..., Any]:
    def inner() -> None:
        """Be out of reach."""

    return inner


def of_the_script() -> None:
    """Be defined in the script."""


def of_nowhere() -> None:
    """Be of a module that is not there."""


of_the_script.__module__ = "__main__"
of_nowhere.__module__ = "no.such.module"


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (inside(), "within a function"),
        (of_the_script, "the script that is run"),
        (of_nowhere, "cannot be imported"),
        (worker_tools.wants_deps, r"reads ctx\.deps"),
        (worker_tools.wants_deps_deep_inside, r"reads ctx\.deps"),
    ],
)
def test_what_no_worker_could_call_is_refused(fn: Callable[..., Any], why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        tool(isolation="process", read_only=True)(fn)


@pytest.mark.parametrize("isolation", ["proces", None, 1])
def test_an_isolation_that_there_is_not_is_refused(isolation: Any) -> None:
    with pytest.raises(InvalidDefinition, match="isolation is one of"):
        tool(isolation=isolation, read_only=True)(worker_tools.plain)


def test_a_thread_for_an_async_tool_is_refused() -> None:
    async def on_the_loop() -> None:
        """Await."""

    with pytest.raises(InvalidDefinition, match="runs on the loop"):
        tool(isolation="thread", read_only=True)(on_the_loop)


def test_a_thread_for_a_sync_tool_is_what_it_gets_anyway() -> None:
    @tool(isolation="thread", read_only=True)
    def here(ctx: SyncToolContext) -> int:
        """Tell the process."""
        return os.getpid()

    assert str(os.getpid()) in play(here).told


# -- the end of an owner --

OWNER = """
import asyncio, sys, warnings
from outlive.actors import Runtime
from tests.actors import worker_tools
from tests.actors.test_workers import agent

async def main():
    async with Runtime(sys.argv[1], agents=[agent(worker_tools.waits, pid_file=sys.argv[2])]) as rt:
        await rt.run("agent", "x", run_id="one")

asyncio.run(main())
"""


def worker_of_another_owner(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    pid_file = tmp_path / "pid"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path / "data"), str(pid_file)])
    for _ in range(600):
        if pid_file.exists():
            return owner, int(pid_file.read_text())
        assert owner.poll() is None
        select.select([], [], [], 0.1)
    raise AssertionError("the worker never began")


def test_no_worker_outlives_its_owner(tmp_path: Path) -> None:
    owner, worker = worker_of_another_owner(tmp_path)
    assert (tmp_path / "data" / "workers" / str(worker)).exists()
    owner.kill()
    owner.wait()
    assert gone(worker)
    assert former.end_all(tmp_path / "data" / "workers") == []


def test_the_worker_of_a_frozen_owner_is_ended_before_another_call_is_made(tmp_path: Path) -> None:
    owner, worker = worker_of_another_owner(tmp_path)
    try:
        owner.send_signal(signal.SIGSTOP)
        # Whoever takes over ends it first.
        assert former.end_all(tmp_path / "data" / "workers") == [worker]
        assert gone(worker)
        assert list((tmp_path / "data" / "workers").iterdir()) == []
    finally:
        owner.kill()
        owner.wait()


def test_a_process_that_only_has_the_pid_of_a_worker_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        (tmp_path / str(other.pid)).write_text("another start")
        (tmp_path / "note").write_text("not a pid")
        assert former.end_all(tmp_path) == []
        assert other.poll() is None
        assert [it.name for it in tmp_path.iterdir()] == ["note"]
    finally:
        other.kill()
        other.wait()


def test_a_cancel_kills_the_worker_and_is_the_last_thing_that_happens(tmp_path: Path) -> None:
    async def body() -> tuple[RunResult, list[str]]:
        made = agent(worker_tools.waits, pid_file=str(tmp_path / "pid"))
        async with Runtime(tmp_path / "data", agents=[made]) as rt:
            run = await rt.start("agent", "x", run_id="one")
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
            worker = int((tmp_path / "pid").read_text())
            await rt.cancel("one", "enough")
            result = await run.result()
            assert await asyncio.to_thread(gone, worker)
            assert rt.live() == []
        # What is said of the worker's end has its place in the log by now, if it has any.
        log = LmdbReader(tmp_path / "data")
        events = [type(it.event).__name__ for it in log.read(run_stream("one"))]
        log.close()
        return result, events

    result, events = asyncio.run(body())
    assert result.status == "cancelled"
    assert events[-2:] == ["ToolCallStarted", "RunCancelled"]
    assert list((tmp_path / "data" / "workers").iterdir()) == []


def test_closing_kills_workers_that_do_not_end_in_time(tmp_path: Path) -> None:
    async def body() -> int:
        made = agent(worker_tools.waits, pid_file=str(tmp_path / "pid"))
        async with Runtime(tmp_path / "data", agents=[made], close_timeout=0) as rt:
            await rt.start("agent", "x", run_id="one")
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
        return int((tmp_path / "pid").read_text())

    assert gone(asyncio.run(body()))
    assert list((tmp_path / "data" / "workers").iterdir()) == []
