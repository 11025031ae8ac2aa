"""`outlive runs ...` shows what is in a log, beside its owner, and says plainly what is wrong."""

import asyncio
import base64
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, Turn
from outlive.cli._app import run
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE
from outlive.cli._render import says
from outlive.cli._text import duration, printable, printable_lines
from outlive.events import (
    Failure,
    ImagePart,
    LmdbLog,
    ModelCallFailed,
    OpenEntry,
    OutputRejected,
    RunStarted,
    TextPart,
    run_stream,
)
from tests.cli.support import Gated, agent, make_run, objects, outlive, start

IMAGE = ImagePart(media_type="image/png", data=b"x")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with the finished run `done-1` and the failed run `bad-1`."""
    folder = tmp_path_factory.mktemp("log")
    broken = Agent("broken", model=ScriptedModel([Turn("Half", error=OSError("gone"))]))
    asyncio.run(make_run(folder, "done-1", agent=agent()))
    asyncio.run(make_run(folder, "bad-1", agent=broken))
    return folder


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


def status(*arguments: str) -> int:
    """Run the command in this process and return its exit code."""
    try:
        return run(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo == UTC and text.endswith("Z")


def test_show_tells_what_a_run_came_to(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("runs", "show", "done-1", "--data", str(data)) == OK

    shown = capsys.readouterr().out
    assert "done-1" in shown
    assert "completed" in shown
    assert "writer, model scripted" in shown
    assert "Take the fingerprint." in shown
    assert "2 answers in 2 attempts, 7 tokens in, 2 out" in shown
    assert "0.0  fingerprint  1 attempt  1 step" in shown
    assert "model 1  #1" in shown


def test_what_a_model_wrote_cannot_steer_the_terminal(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("runs", "show", "done-1", "--data", str(data)) == OK

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"All \x1b[31mdone\x1b[0m." in shown


def test_show_as_json_is_one_object(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("runs", "show", "done-1", "--data", str(data), "--json") == OK

    (facts,) = objects(capsys.readouterr().out)
    assert facts["run_id"] == "done-1"
    assert facts["status"] == "completed"
    assert facts["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert facts["output"] == "All \x1b[31mdone\x1b[0m."
    assert is_time(facts["started_at"])
    assert is_time(facts["ended_at"])
    (call,) = facts["tool_calls"]
    assert call["name"] == "fingerprint"
    assert call["outcome"] == "completed"
    assert call["arguments"] == {"text": "\x00\x01"}
    assert [span["kind"] for span in facts["timeline"]["spans"]] == ["model", "tool", "model"]


def test_show_tells_why_a_run_failed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("runs", "show", "bad-1", "--data", str(data)) == OK

    shown = capsys.readouterr().out
    assert "failed" in shown
    assert "OSError: gone" in shown


def test_watch_prints_the_events_of_a_finished_run_and_ends(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("runs", "watch", "done-1", "--data", str(data)) == OK

    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert [line.split()[2] for line in lines][:3] == [
        "run-started",
        "model-call-started",
        "model-call-completed",
    ]
    assert lines[-1].split()[2:] == ["run-completed", "stop"]
    assert not any("\x1b" in line for line in lines)


def test_watch_as_json_is_one_object_an_event(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("runs", "watch", "done-1", "--data", str(data), "--json") == OK

    events = objects(capsys.readouterr().out)
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert all(is_time(event["recorded_at"]) for event in events)
    (step,) = [event for event in events if event["type"] == "tool-step-completed"]
    assert step["event"]["attempt"] == 1
    assert base64.b64decode(step["event"]["value"]) == b"\x00\x01"
    assert events[-1]["type"] == "run-completed"


def test_watch_goes_on_after_a_version(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("runs", "watch", "done-1", "--data", str(data), "--json") == OK
    everything = objects(capsys.readouterr().out)
    assert status("runs", "watch", "done-1", "--after", "4", "--data", str(data), "--json") == OK

    assert objects(capsys.readouterr().out) == everything[4:]
    head = str(len(everything))
    assert status("runs", "watch", "done-1", "--after", head, "--data", str(data)) == OK
    assert capsys.readouterr().out == ""


def test_watching_a_run_that_failed_is_a_failure(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("runs", "watch", "bad-1", "--data", str(data), "--json") == FAILED

    failed = [e for e in objects(capsys.readouterr().out) if e["type"] == "model-call-failed"]
    assert failed[0]["event"]["error"]["exception"] == "OSError"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "nobody"], NOT_FOUND, "there is no run 'nobody' in this log"),
        (["watch", "nobody"], NOT_FOUND, "there is no run 'nobody' in this log"),
        (["watch", "nobody", "--json"], NOT_FOUND, "there is no run 'nobody' in this log"),
        (["watch", "done-1", "--after", "900"], USAGE, "offset 900 lies outside of 0 to"),
        (["watch", "done-1", "--after", "-1"], USAGE, "offset -1 lies outside of 0 to"),
        (["show", ""], USAGE, "an id of a run must not be empty"),
        (["show", "two\nlines"], USAGE, "use printable characters"),
    ],
)
def test_what_is_wrong_is_one_line(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    code: int,
    says: str,
) -> None:
    assert status("runs", *arguments, "--data", str(data)) == code

    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("outlive: ")
    assert says in line


@pytest.mark.parametrize("command", ["show", "watch"])
def test_a_folder_without_a_log_is_said_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert status("runs", command, "r", "--data", str(tmp_path / "none")) == NO_LOG

    assert "there is no log in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_log_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.json").write_text("{")

    assert status("runs", "show", "r", "--data", str(tmp_path)) == NO_LOG
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["runs", "show"], ["runs", "watch", "r", "--after", "x"], ["runs", "no"], ["--no-such"]],
)
def test_wrong_usage_has_its_own_exit_code(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    assert status(*arguments) == USAGE
    assert capsys.readouterr().out == ""


def test_the_folder_may_be_in_the_environment(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTLIVE_DATA", str(data))

    assert status("runs", "show", "done-1") == OK
    assert "done-1" in capsys.readouterr().out


def test_why_a_run_stands_still_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(make_run(tmp_path, "still-1", agent=agent()))
    stream = run_stream("still-1")
    entry = OpenEntry(kind="run", status="blocked", reason="agent 'writer' is not registered")
    log = LmdbLog(tmp_path)
    try:
        log.append(stream, (), expected_version=log.version(stream), entry=entry).result(10)
    finally:
        log.close()

    assert status("runs", "show", "still-1", "--data", str(tmp_path)) == OK
    shown = capsys.readouterr().out
    assert "blocked" in shown
    assert "agent 'writer' is not registered" in shown
    assert status("runs", "watch", "still-1", "--data", str(tmp_path)) == OK
    assert "blocked: agent 'writer' is not registered" in capsys.readouterr().err


def test_a_run_is_watched_live_while_another_process_owns_the_log(tmp_path: Path) -> None:
    seen: list[str] = []

    async def own() -> None:
        gate = asyncio.Event()
        slow = Agent("slow", model=Gated(gate))
        async with Runtime(tmp_path, agents=[slow]) as rt:
            await rt.start(slow, "Wait.", run_id="live-1")
            shown = await asyncio.to_thread(
                subprocess.run,
                outlive("runs", "show", "live-1", "--data", str(tmp_path)),
                capture_output=True,
                text=True,
                check=True,
            )
            assert "running" in shown.stdout
            watcher = start("runs", "watch", "live-1", "--data", str(tmp_path), "--json")
            try:
                assert watcher.stdout is not None
                for _ in range(2):
                    seen.append(await asyncio.to_thread(watcher.stdout.readline))
                gate.set()
                rest = await asyncio.to_thread(watcher.communicate, timeout=60)
                seen.extend(rest[0].splitlines())
                assert watcher.returncode == OK, rest[1]
            finally:
                watcher.kill()
                watcher.communicate()

    asyncio.run(own())
    types = [event["type"] for event in objects("".join(f"{line.strip()}\n" for line in seen))]
    assert types == ["run-started", "model-call-started", "model-call-completed", "run-completed"]


def test_a_reader_that_goes_away_is_no_error(data: Path) -> None:
    watching = start("runs", "watch", "done-1", "--data", str(data), "--json")
    assert watching.stdout is not None
    assert watching.stderr is not None
    watching.stdout.close()

    assert watching.wait(60) == OK
    assert watching.stderr.read() == ""
    watching.stderr.close()


def test_a_line_tells_what_matters_of_an_event() -> None:
    busy = Failure(kind="rate_limit", message="slow\ndown")
    told = [
        says(RunStarted(agent_id="a", input="look", parts=(TextPart("look"), IMAGE, IMAGE))),
        says(ModelCallFailed(step=1, attempt=2, error=busy, retry_at_ns=5)),
        says(ModelCallFailed(step=1, attempt=3, error=busy)),
        says(OutputRejected(step=2, error=Failure(kind="invalid_output", message="no JSON"))),
    ]
    assert told == [
        "a: look  (2 files attached)",
        "step 1 #2  rate_limit: slow down; tried again later",
        "step 1 #3  rate_limit: slow down",
        "step 2  invalid_output: no JSON",
    ]


def test_a_time_is_told_in_a_unit_that_fits() -> None:
    told = [duration(ms) for ms in (None, 0, 3, 999, 1_250, 65_000, 12_000_000)]
    assert told == ["-", "0 ms", "3 ms", "999 ms", "1.25 s", "1 min 05 s", "3 h 20 min"]


def test_text_is_cut_and_made_safe() -> None:
    assert printable("two\nlines\tand  spaces") == "two lines and spaces"
    assert printable("abcdef", limit=4) == "abc…"
    assert printable("\x1b]0;title\x07 \u202eevil") == r"\x1b]0;title\x07 \u202eevil"
    assert printable_lines("a\tb\n\x1b[2Jc\u00a0d") == "a   b\n\\x1b[2Jc d"
