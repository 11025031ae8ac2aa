"""`outlive runs ...` about runs with background tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlive.actors import Agent, Background, Runtime, ScriptedModel, ToolCall, Turn, tool
from tests.cli.support import objects, shown


@tool(read_only=True, background=True)
async def crawl() -> int:
    """Count pages."""
    return 42


@tool(read_only=True, background=Background(mode="awaited"))
async def broken() -> int:
    """Fail."""
    raise ValueError("no site")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a run that has called two tools in the background."""
    folder = tmp_path_factory.mktemp("log")
    turns = [Turn(tool_calls=[ToolCall("crawl"), ToolCall("broken")]), Turn("so"), Turn("so far")]
    counter = Agent("counter", model=ScriptedModel(turns), tools=[crawl, broken])

    async def make() -> None:
        async with Runtime(folder, agents=[counter]) as rt:
            await rt.run("counter", "go", run_id="one", until_idle=True)

    asyncio.run(make())
    return folder


def test_show_tells_which_tasks_answer_a_runs_calls(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "runs", "show", "one", "--data", str(data))
    assert "0.0  crawl   task one:0.0" in text
    assert "0.1  broken  task one:0.1" in text
    assert "no site" in text


def test_watch_tells_what_happens_between_a_run_and_its_tasks(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "runs", "watch", "one", "--data", str(data))
    assert "task-requested           0.0  task one:0.0" in text
    assert "task one:0.1 failed" in text


def test_as_json_a_call_has_the_id_of_its_task(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [facts] = objects(shown(capsys, "runs", "show", "one", "--data", str(data), "--json"))
    assert [call["task_id"] for call in facts["tool_calls"]] == ["one:0.0", "one:0.1"]
