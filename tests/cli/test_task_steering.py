"""`outlive tasks cancel | resume | retry`: a person says something of a task, from a terminal."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Background,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.cli._app import run
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE
from outlive.events import LmdbLog
from outlive.projections import TaskInfo
from tests.cli.support import objects, outlive
from tests.support.tasks import TaskLog


@tool(in_doubt="ask")
async def book(ctx: ToolContext) -> int:
    """Ask how many seats."""
    return await ctx.suspend("seats", {"free": 3}, answer_type=int)


@tool(read_only=True)
async def flaky(ctx: ToolContext) -> str:
    """Work when it is tried once more."""
    if ctx.attempt == 1:
        raise ConnectionError("busy")
    return "worked"


CLERK = Agent("clerk", model=ScriptedModel([]), tools=[book, flaky])


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A log that nobody owns: one task asks, one is in doubt, one has failed, one succeeded."""
    log = LmdbLog(tmp_path / "data")
    tasks = TaskLog(log)
    common: dict[str, Any] = {"agent_id": "clerk", "arguments": {}}
    for task_id in ("asks", "doubt"):
        tasks.begin(task_id, tool="book", **common)
    tasks.ask("asks", "seats")
    tasks.recover("doubt", in_doubt="ask")
    for task_id in ("bad", "good"):
        tasks.begin(task_id, tool="flaky", **common)
    tasks.fail("bad")
    tasks.succeed("good", "worked")
    log.close()
    return tmp_path / "data"


def finish(data: Path, *task_ids: str) -> list[TaskInfo]:
    """Own the log until tasks are over."""

    async def work() -> list[TaskInfo]:
        async with Runtime(data, agents=[CLERK], role="owner") as rt:
            return await rt.tasks.wait(task_ids, timeout=60)

    return asyncio.run(work())


def tasks(data: Path, *arguments: str) -> int:
    return run(["tasks", *arguments, "--data", str(data)])


def test_what_is_shown_can_be_typed_and_waits_until_there_is_an_owner(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "pending", "--data", str(data)]) == OK
    asks, doubt = capsys.readouterr().out.split("\n\n")
    assert "task asks  book asks seats" in asks
    assert "task doubt  book is in doubt" in doubt
    (answer,) = [line for line in asks.splitlines() if "outlive tasks resume" in line]
    assert f"resume asks VALUE --key seats --data {data}" in answer
    again = doubt.splitlines()[-1]
    assert tasks(data, "show", "bad") == OK
    (retry,) = [
        line for line in capsys.readouterr().out.splitlines() if "to try once more: " in line
    ]

    typed = answer.replace("VALUE", "2"), again, retry
    for line in typed:
        assert run(shlex.split(line.partition("outlive ")[2])) == OK
        printed = capsys.readouterr()
        assert printed.out.startswith("submitted; ")
        assert "waits until an owner is up" in printed.err
    for command in (["runs", "pending"], ["tasks", "show", "asks"], ["tasks", "show", "doubt"]):
        assert run([*command, "--data", str(data)]) == OK
        assert "answered already: it waits until an owner is up" in capsys.readouterr().out

    done, failed = finish(data, "asks", "bad")
    assert (done.result, failed.result) == (2, "worked")


def test_beside_its_owner_a_task_is_steered_at_once(data: Path) -> None:
    async def say(*arguments: str) -> dict[str, Any]:
        command = outlive("tasks", *arguments, "--data", str(data), "--json", "--by", "ann")
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr == ""
        (found,) = objects(done.stdout)
        return found

    async def work() -> None:
        async with Runtime(data, agents=[CLERK], role="owner") as rt:
            answered = {"task_id": "asks", "key": None, "said": "answered", "submitted": False}
            assert await say("resume", "asks", "2") == answered
            retried = {"task_id": "bad", "said": "retried", "submitted": False}
            assert await say("retry", "bad") == retried
            cancelled = {"task_id": "doubt", "said": "cancelled", "submitted": False}
            assert await say("cancel", "doubt", "--reason", "not needed") == cancelled
            asks, bad, doubt = await rt.tasks.wait(["asks", "bad", "doubt"], timeout=60)
        assert (asks.result, bad.result, doubt.status) == (2, "worked", "cancelled")
        assert doubt.error is not None
        assert doubt.error.message == "not needed"

    asyncio.run(work())
    watched = subprocess.run(
        outlive("tasks", "watch", "asks", "bad", "--data", str(data)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "seats: 2 by ann" in watched
    assert "to be tried once more by ann" in watched


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["cancel", "nobody"], NOT_FOUND, "nobody"),
        (["resume", "nobody", "1"], NOT_FOUND, "nobody"),
        (["retry", "nobody"], NOT_FOUND, "nobody"),
        (["cancel", "good"], FAILED, "task 'good' is over already: succeeded"),
        (["retry", "good"], FAILED, "task 'good' is over already: succeeded"),
        (["resume", "bad", "1"], FAILED, "task 'bad' is over already: failed"),
        (["resume", "asks", "1", "--key", "rows"], NOT_FOUND, "rows"),
        (["resume", "doubt", "well"], FAILED, "retry"),
        (["resume", "asks", "{two"], USAGE, "--text"),
        (["resume", "asks", "--text"], USAGE, "--text"),
        (["cancel", ""], USAGE, "id"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert tasks(data, *arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert message in line
    assert run(["runs", "pending", "--json", "--data", str(data)]) == OK
    assert not any(item["submitted"] for item in objects(capsys.readouterr().out))


def test_what_its_tasks_ask_is_shown_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [Turn(tool_calls=[ToolCall("book")]), Turn("Booked.")]
    waiting = Background(mode="awaited")
    agent = Agent("clerk", model=ScriptedModel(turns), tools=[book], background={"book": waiting})

    async def ask() -> None:
        async with Runtime(tmp_path, agents=[agent]) as rt:
            await rt.start(agent, "go", run_id="r")
            while not await rt.runs.pending():  # noqa: ASYNC110  # nobody rings when somebody is asked
                await asyncio.sleep(0.01)

    asyncio.run(ask())
    for command in ("pending", "show"):
        assert run(["runs", command, "r", "--data", str(tmp_path)]) == OK
        shown = capsys.readouterr().out
        assert "task r:0.0  book asks seats" in shown
        assert '{"free":3}' in shown
        assert f"outlive tasks resume r:0.0 VALUE --key seats --data {tmp_path}" in shown


def test_a_task_that_waits_for_an_owner_has_not_begun_and_can_be_called_off(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def enqueue() -> str:
        async with Runtime(data, role="visitor") as rt:
            return await rt.tasks.enqueue("flaky", agent="clerk")

    task_id = asyncio.run(enqueue())
    for command in ("show", "watch"):
        assert tasks(data, command, task_id) == NOT_FOUND
        assert "has not begun: it waits for an owner" in capsys.readouterr().err
    assert tasks(data, "cancel", task_id, "--reason", "too late") == OK
    (over,) = finish(data, task_id)
    assert over.status == "cancelled"


def test_without_a_log_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks(tmp_path / "nowhere", "retry", "x") == NO_LOG
    assert len(capsys.readouterr().err.splitlines()) == 1
