"""`outlive runs pending`, `approve`, `decline`, `resume`, `resolve`, `cancel`: a person answers."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import io
import json
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.cli._app import run, runs
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE, Wrong
from outlive.cli._pending_text import commands_for
from outlive.cli._render import says
from outlive.cli._saying import value_of
from outlive.cli._text import exact_json
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    CallId,
    Event,
    LmdbReader,
    RunCancelled,
    RunId,
    RunResumed,
    RunSuspended,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallSuspended,
)
from outlive.projections import Pending
from tests.cli.support import objects, outlive

C0 = CallId("0.0")


@tool(read_only=True, requires_approval=True)
async def publish(text: str, copies: int = 1) -> str:
    """Publish a text."""
    return f"{text} x{copies}"


@tool(read_only=True)
async def book(ctx: ToolContext) -> str:
    """Ask for a seat, and whether it is sure."""
    seat = await ctx.suspend("seat", {"free": ["a", "b"]}, answer_type=str)
    sure = await ctx.suspend("sure", answer_type=bool)
    return f"{seat} {sure}"


@tool(destructive=True, timeout=0.01)
async def wipe() -> str:
    """Wipe a disk; takes too long."""
    await asyncio.Event().wait()
    return "never"


def calls(name: str, **arguments: Any) -> Agent:
    """Return an agent of this name that calls its one tool and tells what came of it."""
    turns = [Turn(tool_calls=[ToolCall(name, arguments)]), Turn("Over.")]
    return Agent(name, model=ScriptedModel(turns), tools=[publish, book, wipe])


AGENTS = (calls("publish", text="two  \x1b[31mspaces"), calls("book"), calls("wipe"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that nobody owns, in which the runs `publish`, `book` and `wipe` wait for a person.

    Tests that have it answer nothing.
    """
    folder = tmp_path_factory.mktemp("waiting")
    asyncio.run(settle(folder))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Another such log, in which they may be answered."""
    asyncio.run(settle(tmp_path))
    return tmp_path


async def settle(data: Path) -> None:
    """Own a log until all runs wait for a person."""
    async with Runtime(data, agents=AGENTS, role="owner") as rt:
        for agent in AGENTS:
            await rt.start(agent, "Go.", run_id=agent.id)
        for agent in AGENTS:
            assert (await rt.result(agent.id)).status == "suspended"


async def finish(data: Path, run_id: str) -> Any:
    """Own the log until a run is over, and return its result."""
    async with Runtime(data, agents=AGENTS, role="owner") as rt:
        async for _ in rt.observe(run_id):
            pass
        return await rt.result(run_id)


def told(result: Any) -> Any:
    """Return what the model was told that its tool had come to."""
    return result.messages[2]


def test_what_waits_is_shown_with_how_to_answer(
    waiting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "pending", "--data", str(waiting)]) == OK

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    consent, asks, doubt = shown.split("\n\n")
    assert "publish  0.0 publish waits for consent" in consent
    assert r'"text":"two  \u001b[31mspaces"' in consent  # exactly what the tool would be given
    assert f"--digest {digest_of(waiting)} --data {waiting}" in consent
    assert "outlive runs decline publish 0.0 --reason WHY" in consent
    assert "book  0.0 book asks seat" in asks
    assert '{"free":["a","b"]}' in asks
    assert "a text" in asks
    assert "outlive runs resume book VALUE --suspension 0.0/seat" in asks
    assert "wipe  0.0 wipe is in doubt" in doubt
    assert [line.split("wipe 0.0 ")[1].split()[0] for line in doubt.splitlines()[-3:]] == [
        "--outcome",
        "--error",
        "--retry",
    ]


def digest_of(data: Path) -> str:
    return str(pending(data, "publish")[0]["digest"])


def pending(data: Path, *arguments: str) -> list[dict[str, Any]]:
    """Return what waits, as a program is told."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(["runs", "pending", *arguments, "--data", str(data), "--json"]) == OK
    return objects(printed.getvalue())


def test_the_command_that_is_shown_can_be_typed(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["runs", "pending", "publish", "--data", str(data)])
    (line,) = [text for text in capsys.readouterr().out.splitlines() if " approve " in text]
    command = shlex.split(line.partition("outlive ")[2])

    assert run(command) == OK
    assert told(asyncio.run(finish(data, "publish"))).result == "two  \x1b[31mspaces x1"


def test_as_json_it_is_an_object_each(waiting: Path) -> None:
    consent, asks, doubt = pending(waiting)

    assert (consent["kind"], consent["run_id"], consent["call_id"]) == (
        "approval",
        "publish",
        "0.0",
    )
    assert consent["arguments"] == {"text": "two  \x1b[31mspaces"}
    assert asks["suspension"] == "0.0/seat"
    assert asks["payload"] == {"free": ["a", "b"]}
    assert asks["answer_schema"] == {"type": "string"}
    assert asks["since"].endswith("Z")
    assert (doubt["kind"], doubt["cause"]) == ("in_doubt", "timeout")
    assert not any(item["submitted"] for item in (consent, asks, doubt))


def test_without_an_owner_an_answer_waits_and_is_shown_as_given(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    approve = ["runs", "approve", "publish", "0.0", "--by", "ann", "--data", str(data)]
    assert run([*approve, "--args", '{"text":"new","copies":2}', "--note", "fine"]) == OK
    printed = capsys.readouterr()
    assert printed.out == "submitted; approved: 0.0 of run 'publish'\n"
    assert "waits until an owner is up" in printed.err
    assert [item["submitted"] for item in pending(data)] == [True, False, False]
    for command in ("pending", "show"):
        assert run(["runs", command, "publish", "--data", str(data)]) == OK
        assert "answered already: it waits until an owner is up" in capsys.readouterr().out

    result = asyncio.run(finish(data, "publish"))
    assert told(result).result == "new x2"
    assert run(["runs", "watch", "publish", "--data", str(data)]) == OK
    assert "agreed, with other arguments by ann: fine" in capsys.readouterr().out


def test_a_person_declines_answers_resolves_and_cancels_beside_the_owner(data: Path) -> None:
    async def answer(*arguments: str) -> dict[str, Any]:
        done = await asyncio.to_thread(
            subprocess.run,
            outlive("runs", *arguments, "--data", str(data), "--json"),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        (found,) = objects(done.stdout)
        return found

    async def work() -> None:
        async with Runtime(data, agents=AGENTS, role="owner") as rt:
            said = await answer("decline", "publish", "0.0", "--reason", "too loud")
            assert said == {
                "run_id": "publish",
                "call_id": "0.0",
                "said": "declined",
                "submitted": False,
            }
            result = await rt.result("publish")
            assert "too loud" in told(result).error.message

            said = await answer("resume", "book", "a", "--suspension", "seat")
            assert said["submitted"] is False
            await rt.result("book")
            await answer("resume", "book", "true", "--suspension", "sure")
            assert told(await rt.result("book")).result == "a True"

            await answer("resolve", "wipe", "0.0", "--outcome", "wiped by hand")
            assert told(await rt.result("wipe")).result == "wiped by hand"

            await rt.start("book", "Again.", run_id="unwanted")
            assert (await rt.result("unwanted")).status == "suspended"
            await answer("cancel", "unwanted", "--reason", "no need", "--by", "")
            assert (await rt.result("unwanted")).status == "cancelled"

    asyncio.run(work())
    assert pending(data) == []
    shown = subprocess.run(
        outlive("runs", "watch", "unwanted", "--data", str(data)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == FAILED
    assert shown.stdout.splitlines()[-1].endswith("cancelled: no need")
    watched = subprocess.run(
        outlive("runs", "watch", "publish", "--data", str(data)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"not agreed by {getpass.getuser()}: too loud" in watched.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["approve", "nobody", "0.0"], NOT_FOUND, "there is no run 'nobody'"),
        (["pending", "nobody"], NOT_FOUND, "there is no run 'nobody'"),
        (["approve", "publish", "0.7"], NOT_FOUND, "has no suspension '0.7' (open: '0.0')"),
        (["approve", "publish", "0.0", "--digest", "x"], FAILED, "has arguments with digest"),
        (["approve", "publish", "0.0", "--args", "[1]"], USAGE, "--args is a JSON object"),
        (["approve", "publish", "0.0", "--args", "{"], USAGE, "--args is no JSON"),
        (["resume", "book", "1"], FAILED, "does not fit"),
        (["resume", "book", "a", "--suspension", "row"], NOT_FOUND, "has no suspension 'row'"),
        (["resume", "book", '{"a":'], USAGE, "this is no JSON"),
        (["resume", "book", "\udcff"], USAGE, "outlive: "),
        (["resolve", "wipe", "0.0"], USAGE, "say one of --outcome, --error and --retry"),
        (["resolve", "wipe", "0.0", "--retry", "--error", "x"], USAGE, "say one of"),
        (["resolve", "wipe", "0.0", "--retry", "--text"], USAGE, "--text is for --outcome"),
        (["resolve", "publish", "0.1", "--retry"], NOT_FOUND, "has no suspension"),
        (["cancel", "nobody"], NOT_FOUND, "there is no run 'nobody'"),
        (["release", "nobody"], NOT_FOUND, "there is no run 'nobody'"),
        (["release", "book"], FAILED, "is not quarantined: it is suspended"),
        (["pending", "--limit", "0"], USAGE, "--limit is 1 to 1,000"),
    ],
)
def test_what_is_wrong_is_one_line(
    waiting: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["runs", *arguments, "--data", str(waiting)]) == code

    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert len(printed.err.splitlines()) == 1
    log = LmdbReader(waiting)
    try:
        assert log.submitted() == []  # The next owner finds nothing of it.
    finally:
        log.close()


def test_in_a_folder_without_a_log_nothing_is_made(tmp_path: Path) -> None:
    for command in (["pending"], ["cancel", "r"], ["approve", "r", "0.0"]):
        assert run(["runs", *command, "--data", str(tmp_path)]) == NO_LOG
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_do_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def open_it() -> None:
        async with Runtime(tmp_path):
            pass

    asyncio.run(open_it())
    assert run(["runs", "pending", "--data", str(tmp_path)]) == OK
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "outlive: nothing waits for a person\n")


def test_show_tells_what_a_run_waits_for(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run_id, asked in (
        ("publish", "waits for consent"),
        ("book", "asked"),
        ("wipe", "in doubt"),
    ):
        assert run(["runs", "show", run_id, "--data", str(waiting)]) == OK
        shown = capsys.readouterr().out
        assert "suspended" in shown
        assert "Waits for a person" in shown
        assert asked in shown
    assert run(["runs", "show", "book", "--data", str(waiting), "--json"]) == OK
    (facts,) = objects(capsys.readouterr().out)
    assert [item["key"] for item in facts["pending"]] == ["seat"]
    assert facts["tool_calls"][0]["outcome"] == "suspended"


def test_suspended_runs_can_be_listed(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--status", "suspended", "--data", str(waiting), "--json"]) == OK
    listed = objects(capsys.readouterr().out)
    assert {one["run_id"] for one in listed} == {"publish", "book", "wipe"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1}', {"a": 1}),
        ("true", True),
        ("-5", -5),
        ("null", None),
        ('"5"', "5"),
        ("Mr. Smith's", "Mr. Smith's"),
        ("12 o'clock", "12 o'clock"),
        ("", ""),
    ],
)
def test_a_value_is_json_or_else_text(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize("text", ['{"a":1', "[1,]", '"half', '  {"a":'])
def test_what_begins_as_json_and_is_none_is_no_answer(text: str) -> None:
    with pytest.raises(Wrong, match="--text takes it as text"):
        value_of(text)


def test_a_negative_number_is_a_value_and_no_option(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "resume", "book", "-5", "--data", str(data)]) == FAILED
    assert "does not fit" in capsys.readouterr().err
    assert run(["runs", "resume", "book", "-5", "--text", "--data", str(data)]) == OK


def test_a_command_that_is_shown_holds_for_any_id_and_folder() -> None:
    item = Pending(
        run_id=RunId("-x y"),
        agent_id="a",
        kind="suspension",
        call_id=C0,
        tool="t",
        arguments={},
        digest="d",
        suspension="0.0/my key",
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (line,) = commands_for(item, Path("my data"))

    name, bound, _ = runs.parse_args(shlex.split(line)[2:])
    assert name.__name__ == "resume"
    assert bound.arguments == {
        "run_id": "-x y",
        "value": "VALUE",
        "suspension": "0.0/my key",
        "data": Path("my data"),
    }


def test_arguments_are_shown_whole_and_as_they_are() -> None:
    assert exact_json({"a": "x  y\x1b\u202e\x7f\U000e0001é"}) == (
        r'{"a":"x  y\u001b\u202e\u007f\udb40\udc01é"}'
    )
    assert json.loads(exact_json("\U000e0001\u2028")) == "\U000e0001\u2028"
    assert len(exact_json("x" * 10_000)) == 10_002


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ToolCallSuspended(call_id=C0, key="k", payload=1), "0.0 #1  asks k  1"),
        (ToolCallSuspended(call_id=C0, key="k"), "0.0 #1  asks k"),
        (ApprovalRequested(call_id=C0, name="t", digest="d"), "0.0  t needs consent"),
        (
            ApprovalRequested(call_id=C0, name="t", digest="d", expires_at_ns=10**9),
            "0.0  t needs consent, until 1970-01-01 00:00:01Z",
        ),
        (ApprovalGranted(call_id=C0, digest="d", by="ann"), "0.0  agreed by ann"),
        (ApprovalDenied(call_id=C0, expired=True), "0.0  nobody agreed in time"),
        (ToolCallInDoubt(call_id=C0), "0.0 #1  what it did before a crash is unknown"),
        (
            ToolCallInDoubt(call_id=C0, cause="timeout"),
            "0.0 #1  what it did before its timeout is unknown",
        ),
        (
            ToolCallResolved(call_id=C0, outcome="failed", note="seen", by="ann"),
            "0.0 #1  it was not done by ann: seen",
        ),
        (RunSuspended(waiting=("0.0", "0.1/k")), "waits for 0.0, 0.1/k"),
        (RunResumed(call_id=C0, key="k", value=True, by="ann"), "0.0  k: true by ann"),
        (RunCancelled(), "cancelled"),
    ],
)
def test_an_event_in_one_line(event: Event, line: str) -> None:
    assert says(event) == line
