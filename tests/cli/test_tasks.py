"""`outlive tasks ...` shows background tasks beside their owner, and says what is wrong."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from rich.console import Console

from outlive.actors import Agent, Background, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.cli._app import run
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE
from outlive.cli._render import says
from outlive.cli._task_bars import TaskBars
from outlive.events import LmdbLog, MemoryLog, OpenEntry, TaskEvent, task_stream
from outlive.testing import VirtualClock as LongAgo
from outlive.testing.strategies import task_events
from tests.cli.support import objects, outlive, start
from tests.support.tasks import TaskLog
from tests.support.views import start_run
from tests.support.virtual import VirtualClock


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a task in each sort of status, the oldest one for run `r1`."""
    folder = tmp_path_factory.mktemp("log")
    log = LmdbLog(folder, clock=VirtualClock())
    tasks = TaskLog(log)
    tasks.begin("running-1", run_id="r1", thread_id="th", arguments={"at": "a\x1b[31m"})
    tasks.step("running-1", "page-1")
    tasks.progress("running-1", 3.0, 7.0, "the third page")
    tasks.begin("retried-1")
    tasks.fail("retried-1", delay=20)
    tasks.begin("asking-1", agent_id="asker", resource_id="re")
    tasks.ask("asking-1", "which")
    tasks.begin("doubtful-1")
    tasks.recover("doubtful-1", in_doubt="ask")
    tasks.begin("good-1")
    tasks.recover("good-1")
    tasks.succeed("good-1", {"a": 1})
    tasks.begin("bad-1", tool="other")
    tasks.fail("bad-1")
    tasks.queue("blocked-1")
    stream = task_stream("blocked-1")
    entry = OpenEntry(kind="task", status="blocked", reason="no such tool")
    log.append(stream, (), expected_version=log.version(stream), entry=entry).result(5)
    log.close()
    return folder


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


Out = Callable[..., str]


@pytest.fixture
def out(data: Path, capsys: pytest.CaptureFixture[str]) -> Out:
    """Run `outlive tasks` on that log, and return what it prints."""

    def printed(*arguments: str, code: int = OK) -> str:
        assert run(["tasks", *arguments, "--data", str(data)]) == code
        return capsys.readouterr().out

    return printed


# -- list --


def test_tasks_are_listed_newest_first_with_what_holds_them_up(out: Out) -> None:
    head, *lines = out("list").splitlines()
    assert head.split() == [
        *("task", "status", "tool", "agent", "queued", "took", "attempts", "how", "far")
    ]
    assert [line.split()[:3] for line in lines] == [
        ["blocked-1", "blocked", "look"],
        ["bad-1", "failed", "other"],
        ["good-1", "succeeded", "look"],
        ["doubtful-1", "suspended", "look"],
        ["asking-1", "suspended", "look"],
        ["retried-1", "queued", "look"],
        ["running-1", "running", "look"],
    ]
    blocked, bad, good, doubtful, asking, retried, running = lines
    assert blocked.endswith("0  blocked: no such tool")
    assert bad.endswith("1  error: bang")
    assert good.endswith("2")
    assert doubtful.endswith("in doubt: somebody must say what was done")
    assert asking.endswith("asks which")
    assert retried.endswith("to be tried again at 00:00:20Z")
    assert running.endswith("3 of 7  the third page")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--status", "queued"], ["retried-1"]),
        (["--agent", "asker"], ["asking-1"]),
        (["--tool", "other"], ["bad-1"]),
        (["--run", "r1"], ["running-1"]),
        (["--thread", "th"], ["running-1"]),
        (["--resource", "re"], ["asking-1"]),
        (["--until", "2000-01-01"], []),
        (
            ["--since", "2030-01-01", "--order", "oldest", "--status", "suspended"],
            ["asking-1", "doubtful-1"],
        ),
    ],
)
def test_filters_hold(out: Out, filters: list[str], expected: list[str]) -> None:
    found = objects(out("list", "--json", *filters))
    assert [one["task_id"] for one in found] == expected


def test_a_page_tells_how_to_get_the_next_one(out: Out) -> None:
    *_, more = out("list", "--limit", "6").splitlines()
    assert [line.split()[0] for line in out("list", more.split()[-1]).splitlines()] == [
        "task",
        "running-1",
    ]
    *_, last = objects(out("list", "--limit", "6", "--json"))
    assert list(last) == ["cursor"]


def test_what_cannot_be_asked_is_one_line(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tasks", "list", "--data", str(tmp_path / "nowhere")]) == NO_LOG
    assert run(["tasks", "list", "--status", "open", "--data", str(data)]) == USAGE
    assert run(["tasks", "list", "--run", "", "--data", str(data)]) == USAGE
    assert len(capsys.readouterr().err.splitlines()) == 3
    LmdbLog(tmp_path / "empty").close()
    assert run(["tasks", "list", "--data", str(tmp_path / "empty")]) == OK
    assert capsys.readouterr().err == "outlive: no tasks\n"


# -- show --


def test_show_tells_what_a_task_is_for_and_how_far_it_is(out: Out) -> None:
    shown = out("show", "running-1")
    for text in (
        "run r1, call 0.0",
        "running",
        r'{"at":"a\u001b[31m"}',
        "th",
        "3 of 7  the third page",
        "#1  00:00:00Z",
        "owner-1",
        "look 0.0  #1",
    ):
        assert text in shown
    assert "\x1b" not in shown


def test_show_tells_of_attempts_ends_and_questions(out: Out) -> None:
    good = out("show", "good-1")
    assert "cut off" in good
    assert good.endswith('Result\n{"a":1}\n')
    assert "error: bang" in out("show", "bad-1")
    assert "2030-01-01 00:00:20 UTC" in out("show", "retried-1")
    asking = out("show", "asking-1")
    assert "task asking-1  look asks which" in asking
    assert "outlive tasks resume asking-1 VALUE --key which" in asking
    doubtful = out("show", "doubtful-1")
    assert "somebody must say" in doubtful
    assert """outlive tasks resume doubtful-1 '{"retry": true}'""" in doubtful
    assert "blocked: no such tool" in out("show", "blocked-1")


def test_what_goes_on_takes_until_now_though_nothing_is_heard_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = LmdbLog(tmp_path, clock=LongAgo(datetime(2020, 1, 1, tzinfo=UTC)))
    tasks = TaskLog(log)
    tasks.begin("running-1")
    tasks.begin("good-1")
    tasks.succeed("good-1")
    start_run(log, "r1")
    log.close()
    assert run(["tasks", "show", "running-1", "--data", str(tmp_path)]) == OK
    assert re.search(r"2020-01-01 00:00:00 UTC, \d{5,} h \d+ min so far", capsys.readouterr().out)
    assert run(["runs", "show", "r1", "--data", str(tmp_path)]) == OK
    assert re.search(r"2020-01-01 00:00:00 UTC, \d{5,} h \d+ min so far", capsys.readouterr().out)
    assert run(["tasks", "show", "good-1", "--data", str(tmp_path)]) == OK
    assert "2020-01-01 00:00:00 UTC, took 0 ms" in capsys.readouterr().out


def test_show_as_json_is_one_object(out: Out) -> None:
    (facts,) = objects(out("show", "good-1", "--json"))
    assert facts["task"]["status"] == "succeeded"
    assert [one["outcome"] for one in facts["task"]["attempts"]] == ["cut_off", "succeeded"]
    assert facts["task"]["result"] == {"a": 1}
    assert facts["task"]["arguments"] == {"at": "good-1"}
    assert [span["kind"] for span in facts["timeline"]["spans"]] == ["tool", "tool"]
    (facts,) = objects(out("show", "asking-1", "--json"))
    assert facts["task"]["questions"] == [{"key": "which", "payload": None, "answer_schema": None}]


@pytest.mark.parametrize("command", ["show", "watch"])
def test_an_unknown_task_is_not_found(out: Out, command: str) -> None:
    out(command, "nobody", code=NOT_FOUND)


# -- watch --


def test_watch_prints_what_happened_in_tasks_in_order(out: Out) -> None:
    lines = out("watch", "good-1", "bad-1", code=FAILED).splitlines()
    assert [line.split()[:3:2] for line in lines] == [
        ["good-1", "task-queued"],
        ["good-1", "task-started"],
        ["good-1", "task-recovered"],
        ["good-1", "task-started"],
        ["good-1", "task-succeeded"],
        ["bad-1", "task-queued"],
        ["bad-1", "task-started"],
        ["bad-1", "task-failed"],
    ]
    assert len(out("watch", "good-1").splitlines()) == 5


def test_watch_as_json_goes_on_after_a_position(out: Out) -> None:
    first, *rest = objects(out("watch", "good-1", "--json"))
    position = first["id"].partition(".")[0]
    assert objects(out("watch", "good-1", "--json", "--after", position)) == rest
    assert {one["stream"] for one in rest} == {"task-good-1"}


def test_watch_wants_to_know_which(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ([], ["good-1", "--run", "r1"], ["--agent", "a", "--thread", "t"]):
        assert run(["tasks", "watch", *wrong, "--data", str(data)]) == USAGE
        assert "say which" in capsys.readouterr().err
    assert run(["tasks", "watch", "--run", "r1", "--data", str(data)]) == NOT_FOUND
    assert run(["tasks", "watch", "good-1", "--after", "999", "--data", str(data)]) == USAGE


@tool(in_doubt="retry", background=Background(mode="awaited"))
async def double(number: int) -> int:
    """Return twice as much, when somebody has looked."""
    await GATE.wait()
    return 2 * number


GATE = asyncio.Event()


def test_it_follows_tasks_of_a_run_while_the_owner_works(tmp_path: Path) -> None:
    async def body() -> tuple[str, str]:
        turns = [Turn(tool_calls=[ToolCall("double", {"number": 2})]), Turn("done")]
        agent = Agent("a", model=ScriptedModel(turns), tools=[double])
        async with Runtime(tmp_path, agents=[agent]) as rt:
            await rt.start("a", "go", run_id="r1")
            async for recorded in rt.tasks.observe(run_id="r1"):
                if recorded.version == 2:  # It runs.
                    break
            with start("tasks", "watch", "r1:0.0", "--data", str(tmp_path)) as watching:
                assert watching.stdout is not None
                told = await asyncio.to_thread(watching.stdout.readline)
                GATE.set()
                told += await asyncio.to_thread(watching.stdout.read)
            assert watching.returncode == OK
            await rt.result("r1")
        return told, shown()

    def shown() -> str:
        command = outlive("runs", "show", "r1", "--data", str(tmp_path))
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    watched, run_shown = asyncio.run(body())
    assert [line.split()[2] for line in watched.splitlines()] == [
        "task-queued",
        "task-started",
        "task-succeeded",
    ]
    assert "task r1:0.0" in run_shown
    assert "double 0.0  task" in run_shown


# -- on a terminal --


def screen(tasks: TaskLog, *, after: int = 0, height: int = 20) -> tuple[str, str]:
    """Return what a terminal has shown of the events beyond `after`: all of it, and the bars."""
    file = io.StringIO()
    out = Console(file=file, force_terminal=True, width=120, height=height, color_system=None)
    with TaskBars(tasks.log, out, VirtualClock()) as bars:
        for record in tasks.log.read_all():
            for recorded in record.recorded():
                if recorded.position > after:
                    bars.show(recorded)
    shown = file.getvalue()
    return shown, shown.rpartition("\x1b[2K")[2]


def test_a_terminal_shows_a_bar_for_each_that_goes_on_and_a_line_for_each_that_ended() -> None:
    tasks = TaskLog(MemoryLog(clock=VirtualClock()))
    tasks.begin("one")
    tasks.progress("one", 3.0, 7.0, "\x1b[31mred")
    tasks.begin("two", run_id="r")
    tasks.succeed("two")
    tasks.deliver("two")
    tasks.begin("three")
    tasks.fail("three", delay=20)
    tasks.start("three")

    shown, bars = screen(tasks)

    (ended,) = (line for line in shown.splitlines() if "task-succeeded" in line)
    assert "two " in ended
    one, three = (line for line in bars.splitlines() if "look" in line)
    assert one.split()[:3] == ["one", "look", "running"]
    assert "━" in one
    assert one.rstrip().endswith(r"3 of 7  \x1b[31mred")
    assert three.split()[:4] == ["three", "look", "running", "#2"]


def test_who_comes_in_the_middle_sees_what_the_task_is() -> None:
    tasks = TaskLog(MemoryLog(clock=VirtualClock()))
    tasks.begin("one")
    before = tasks.log.head
    tasks.progress("one", 3.0, 7.0, "a page")
    assert "one  look  running" in screen(tasks, after=before)[1]


def test_more_tasks_than_fit_are_counted() -> None:
    tasks = TaskLog(MemoryLog(clock=VirtualClock()))
    for number in range(9):
        tasks.queue(f"t{number}")
    _, bars = screen(tasks, height=10)
    assert "t5" in bars
    assert "t6" not in bars
    assert "and 3 more tasks" in bars


# -- as a line --


@given(event=task_events())
def test_every_event_of_a_task_is_said_in_one_safe_line(event: TaskEvent) -> None:
    line = says(event)
    assert line.isprintable()
    assert not line.startswith("{"), "as a person would say it"
