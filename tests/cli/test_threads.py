"""`outlive threads ...` shows threads beside their owner, and has it hear what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from outlive.actors import Agent, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.cli._app import run
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE
from outlive.cli._render import says
from outlive.events import ThreadEvent
from outlive.testing.strategies import thread_events
from tests.cli.support import objects, start

Out = Callable[..., str]


@tool(read_only=True)
async def look() -> str:
    return "a\x1b[31m wall"


def looker() -> Agent:
    turns = [Turn(tool_calls=[ToolCall("look")]), Turn("I see a wall.")]
    return Agent("looker", model=ScriptedModel(turns), tools=[look])


async def _talk(folder: Path) -> None:
    async with Runtime(folder, agents=[looker()]) as rt:
        await rt.threads.create(resource_id="user-7", thread_id="empty-1")
        await rt.threads.create(resource_id="user-8", thread_id="talk-1", title="A \x1b[31mtalk")
        run = await rt.start("looker", "What is there?", run_id="r1", thread_id="talk-1")
        await run.result()
        async for _ in rt.threads.observe("talk-1"):
            if (await rt.threads.get("talk-1")).status == "idle":
                return


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with an empty thread, and one with a run."""
    folder = tmp_path_factory.mktemp("log")
    asyncio.run(_talk(folder))
    return folder


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


@pytest.fixture
def out(data: Path, capsys: pytest.CaptureFixture[str]) -> Out:
    """Run `outlive threads` on that log, and return what it prints."""

    def printed(*arguments: str, code: int = OK) -> str:
        assert run(["threads", *arguments, "--data", str(data)]) == code
        return capsys.readouterr().out

    return printed


def test_threads_are_listed_newest_first(out: Out) -> None:
    head, *lines = out("list").splitlines()
    assert head.split() == ["thread", "status", "resource", "created", "last", "messages", "title"]
    assert [line.split()[:3] for line in lines] == [
        ["talk-1", "idle", "user-8"],
        ["empty-1", "idle", "user-7"],
    ]
    assert lines[0].endswith(r"4  A \x1b[31mtalk")


def test_threads_are_listed_by_resource_and_in_pages(out: Out) -> None:
    assert [one["thread_id"] for one in objects(out("list", "--resource=user-7", "--json"))] == [
        "empty-1"
    ]
    first, more = objects(out("list", "--limit=1", "--json"))
    assert first["thread_id"] == "talk-1"
    (rest,) = objects(out("list", f"--cursor={more['cursor']}", "--json"))
    assert rest["thread_id"] == "empty-1"
    assert out("list", "--resource=nobody") == ""


def test_a_thread_is_shown_with_what_was_said(out: Out) -> None:
    shown = out("show", "talk-1")
    assert "resource  user-8" in shown
    lines = [line for line in shown.splitlines() if line]
    assert lines[-8].startswith("user  ")
    assert lines[-7] == "What is there?"
    assert lines[-5] == "look({})"
    assert lines[-4].startswith("tool look  ")
    assert lines[-3] == r"a\x1b[31m wall"
    assert lines[-1] == "I see a wall."


def test_a_thread_as_json_has_its_messages(out: Out) -> None:
    (facts,) = objects(out("show", "talk-1", "--json"))
    assert facts["thread"]["title"] == "A \x1b[31mtalk"
    assert [one["message"]["type"] for one in facts["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    version = facts["messages"][1]["version"]
    (rest,) = objects(out("show", "talk-1", f"--after={version}", "--json"))
    assert len(rest["messages"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "nowhere"], NOT_FOUND),
        (["watch", "nowhere"], NOT_FOUND),
        (["send", "nowhere", "hi"], NOT_FOUND),
        (["send", "talk-1", ""], USAGE),
        (["send", "talk-1", "hi", "--resource=user-7"], FAILED),
        (["send", "empty-1", "hi"], FAILED),
        (["list", "--limit=0"], USAGE),
        (["list", "--since=soon"], USAGE),
        (["watch", "talk-1", "--after=1000"], USAGE),
    ],
)
def test_what_is_wrong_is_said_in_the_exit_code(out: Out, arguments: list[str], code: int) -> None:
    assert out(*arguments, code=code) == ""


def test_without_a_log_there_is_nothing_to_see(tmp_path: Path) -> None:
    assert run(["threads", "list", "--data", str(tmp_path / "none")]) == NO_LOG


def test_a_thread_is_watched_and_talked_on_while_another_process_owns_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    async def own() -> None:
        async with Runtime(folder, agents=[looker()]) as rt:
            await rt.threads.create(resource_id="u", thread_id="t", agent="looker")
            watching = start("threads", "watch", "t", "--data", str(folder))
            sent = await asyncio.to_thread(
                start("threads", "send", "t", "hello", "--json", "--data", str(folder)).communicate
            )
            (accepted,) = objects(sent[0])
            assert accepted["action"] == "woken"
            await rt.result(accepted["run_id"])
            assert watching.stdout is not None
            kinds: list[str] = []
            while "thread-run-released" not in kinds:
                line = await asyncio.to_thread(watching.stdout.readline)
                kinds.append(line.split()[2])
            watching.kill()
            watching.communicate()
            assert kinds[:3] == ["thread-created", "signal-received", "thread-run-claimed"]

    asyncio.run(own())
    assert run(["threads", "send", "t", "and now?", "--queue", "--data", str(folder)]) == OK


def test_a_thread_that_waits_for_an_owner_is_said_to_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def own() -> None:
        async with Runtime(tmp_path / "data", agents=[looker()]) as rt:
            await rt.threads.list()

    where = ("--data", str(tmp_path / "data"))
    asyncio.run(own())
    send = ("threads", "send", "new", "hello", "--resource", "u", "--agent", "looker", *where)
    assert run(send) == OK
    capsys.readouterr()
    for look in ("show", "watch"):
        assert run(["threads", look, "new", *where]) == NOT_FOUND
        assert "has not begun: it waits for an owner" in capsys.readouterr().err
    asyncio.run(own())
    assert run(["threads", "show", "new", *where]) == OK


@given(thread_events())
def test_each_event_of_a_thread_is_a_line_that_cannot_steer_a_terminal(event: ThreadEvent) -> None:
    assert says(event).isprintable()
