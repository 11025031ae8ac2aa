"""`outlive runs ...` about runs of sub-agents."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.events import ChildRunEnded, Usage
from tests.cli.support import objects, shown

SPENT = Usage(input_tokens=5, output_tokens=7)


@tool(read_only=True)
async def ask(ctx: ToolContext) -> str:
    """Ask a person."""
    return str(await ctx.suspend("which"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a run that waits for the second one of its child runs, which asks a person."""
    folder = tmp_path_factory.mktemp("log")
    calls = [ToolCall("counter", {"input": "count"}), ToolCall("asker", {"input": "ask"})]
    counter = Agent("counter", model=ScriptedModel([Turn("42", usage=SPENT)]))
    asks = Turn(tool_calls=[ToolCall("ask")])
    asker = Agent("asker", model=ScriptedModel([asks]), tools=[ask])
    boss = Agent("boss", model=ScriptedModel([Turn(tool_calls=calls)]), agents=[counter, asker])

    async def make() -> None:
        async with Runtime(folder, agents=[boss]) as rt:
            started = await rt.start("boss", "go", run_id="one")
            async for recorded in started.events():
                if isinstance(recorded.event, ChildRunEnded):
                    break
            await rt.result("one:0.1")

    asyncio.run(make())
    return folder


def test_show_tells_which_runs_answer_a_runs_calls(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "runs", "show", "one", "--data", str(data))
    assert "waiting" in text
    assert "0.0  counter  run one:0.0" in text
    assert "0.1  asker    run one:0.1" in text
    assert "5 tokens in, 7 out" in text


def test_show_tells_for_whom_a_run_works(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "runs", "show", "one:0.1", "--data", str(data))
    assert "works for  run one" in text
    assert "suspended" in text


def test_as_json_parent_and_children_have_ids(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (facts,) = objects(shown(capsys, "runs", "show", "one", "--data", str(data), "--json"))
    assert [call["run_id"] for call in facts["tool_calls"]] == ["one:0.0", "one:0.1"]
    assert [span["kind"] for span in facts["timeline"]["spans"]] == ["model", "run", "run"]
    (facts,) = objects(shown(capsys, "runs", "show", "one:0.0", "--data", str(data), "--json"))
    assert facts["parent_id"] == "one"


def test_list_has_the_status_and_the_parent(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("runs", "list", "--data", str(data), "--json")
    runs = objects(shown(capsys, *arguments, "--status", "waiting"))
    assert [(one["run_id"], one["parent_id"]) for one in runs] == [("one", None)]
    runs = objects(shown(capsys, *arguments, "--status", "suspended"))
    assert [(one["run_id"], one["parent_id"]) for one in runs] == [("one:0.1", "one")]


def test_pending_has_the_childs_question(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "one:0.1" in shown(capsys, "runs", "pending", "--data", str(data))


def test_watch_says_what_happens_between_runs(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "runs", "watch", "one:0.0", "--data", str(data))
    assert "counter: count  (for run one)" in text
