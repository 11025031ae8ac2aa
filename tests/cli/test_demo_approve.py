"""`outlive demo --approve`: it asks before it publishes, and the question outlives everything."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from outlive.cli._app import run
from outlive.cli._asking import opened
from outlive.cli._exit import INTERRUPTED, OK, USAGE
from outlive.events import ToolCallFailed, ToolCallStarted
from outlive.events.values import canonical, digest
from outlive.projections import read_run
from tests.cli.support import AtTerminal, objects, page, start, write_site

QUESTION = "How hot should the water for tea be?"


@pytest.fixture
def tea(tmp_path: Path) -> Path:
    """A small site."""
    pages = {
        "index.html": page("Drinks", "All drinks stand here.", links=["green.html", "black.html"]),
        "green.html": page("Green tea", "Green tea wants water of seventy degrees."),
        "black.html": page("Black tea", "Black tea wants water that has just boiled."),
    }
    return write_site(tmp_path / "site", pages)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The directory in which the demo is started, and publishes."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def of_type(moments: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [moment for moment in moments if moment["type"] == kind]


def until(process: subprocess.Popen[str], kind: str) -> list[dict[str, Any]]:
    """Read moments, up to the first of this kind."""
    assert process.stdout is not None
    read: list[dict[str, Any]] = []
    for line in process.stdout:
        read.append(json.loads(line))
        if read[-1]["type"] == kind:
            return read
    raise AssertionError(f"it ended before {kind}: {read}")


def asking(tea: Path, data: Path, here: Path, *more: str) -> AtTerminal:
    """Start the demo at a terminal, where nobody is killed."""
    arguments = ["--source", str(tea), "--question", QUESTION, "--data", str(data), "--no-kill"]
    return AtTerminal("demo", "--approve", *arguments, *more, cwd=here)


@pytest.mark.slow
def test_a_process_that_waits_for_the_answer_is_killed_and_the_question_stays(
    tmp_path: Path, tea: Path, here: Path
) -> None:
    data = tmp_path / "log"
    arguments = ["--source", str(tea), "--question", QUESTION, "--data", str(data), "--json"]
    with start("demo", "--approve", *arguments, cwd=here) as process:
        moments = until(process, "asked")
        question = moments[-1]
        assert list(here.iterdir()) == []  # nothing is published before the answer
        approve = ["runs", "approve", question["run_id"], question["call_id"]]
        more = ["--digest", question["digest"], "--note", "good", "--by", "ann"]
        assert run([*approve, *more, "--data", str(data)]) == OK
        out, err = process.communicate(timeout=60)
    moments += objects(out)

    assert (process.returncode, err) == (0, "")
    assert [kill["asking"] for kill in of_type(moments, "killed")] == [False, False, False, True]
    assert {kill["signal"] for kill in of_type(moments, "killed")} == {"SIGKILL"}
    assert question["here"] is False
    assert question["digest"] == digest(canonical(question["arguments"]))
    (decided,) = of_type(moments, "decided")
    assert (decided["granted"], decided["by"], decided["note"]) == (True, "ann", "good")
    (published,) = of_type(moments, "published")
    (file,) = here.iterdir()
    assert published["path"] == str(file) == question["arguments"]["path"]
    assert file.read_text() == question["arguments"]["text"]
    assert "Green tea wants water of seventy degrees." in file.read_text()
    report = moments[-1]
    assert report["ok"], report["checks"]
    assert len(report["kills"]) == 4
    assert [taken["number"] for taken in of_type(moments, "recovered")] == [2, 3, 4]
    assert {"one question", "asked first", "published"} <= {c["name"] for c in report["checks"]}


def test_yes_and_a_note_are_typed_at_the_terminal(tmp_path: Path, tea: Path, here: Path) -> None:
    with asking(tea, tmp_path / "log", here) as demo:
        demo.type("yes")  # before there is a question: no answer to it
        demo.until("worker")
        demo.until("Green tea wants water of")  # The rest may stand on the next line.
        demo.until("digest")
        demo.until("outlive runs approve demo-")
        demo.until("Type yes or no:")
        assert list(here.iterdir()) == []
        demo.type("perhaps")
        demo.until("Type yes or no:")
        demo.type("Yes")
        demo.until("A note")
        demo.type("well done")
        demo.until("said yes: well done")
        assert demo.end() == 0

    (file,) = here.iterdir()
    assert "publish was called after" in demo.shown
    assert "✗" not in demo.shown
    assert "Green tea wants water of seventy degrees." in file.read_text()


def test_after_a_no_there_is_no_file_and_the_model_is_told(
    tmp_path: Path, tea: Path, here: Path
) -> None:
    data = tmp_path / "log"
    with asking(tea, data, here) as demo:
        demo.until("Type yes or no:")
        demo.type("n")
        demo.until("A note")
        demo.type("too early")
        demo.until("said no: too early")
        demo.until("Not published: it was not agreed to: too early")
        assert demo.end() == 0

    assert list(here.iterdir()) == []
    assert "publish was not called" in demo.shown


def test_an_answer_from_another_terminal_takes_the_prompt_away(
    tmp_path: Path, tea: Path, here: Path
) -> None:
    data = tmp_path / "log"
    with asking(tea, data, here) as demo:
        demo.until("call 2.0")
        run_id = demo.shown.rsplit("demo-", 1)[1][:6]
        demo.until("Type yes or no:")
        decline = ["runs", "decline", f"demo-{run_id}", "2.0", "--reason", "no", "--by", "bob"]
        assert run([*decline, "--data", str(data)]) == OK
        demo.until("bob said no: no")
        assert demo.end() == 0


def test_ctrl_d_is_no_answer(tmp_path: Path, tea: Path, here: Path) -> None:
    with asking(tea, tmp_path / "log", here) as demo:
        demo.until("Type yes or no:")
        demo.press(b"\x04")
        demo.until("It waits for an answer from another terminal")
        demo.process.send_signal(signal.SIGTERM)
        assert demo.end() == INTERRUPTED

    assert list(here.iterdir()) == []


@pytest.mark.parametrize("answered", [False, True])
def test_a_demo_that_is_left_with_its_question_says_how_to_go_on(
    tmp_path: Path, tea: Path, here: Path, answered: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = tmp_path / "tmp"
    folders.mkdir()
    arguments = ["--source", str(tea), "--question", QUESTION, "--no-kill"]
    with AtTerminal(
        "demo", "--approve", *arguments, cwd=here, env={"TMPDIR": str(folders)}
    ) as demo:
        demo.until("Type yes or no:")
        demo.process.send_signal(signal.SIGINT)
        demo.until("nothing is lost")
        assert demo.end() == INTERRUPTED
    (data,) = folders.iterdir()  # kept, as there is something in it to go on with
    assert f"outlive demo --approve --data {data}" in demo.shown.replace("\r\n", "")

    assert run(["runs", "pending", "--data", str(data), "--json"]) == OK
    (item,) = objects(capsys.readouterr().out)
    approve = ["runs", "approve", item["run_id"], item["call_id"], "--data", str(data)]
    if answered:
        assert run(approve) == OK  # while nobody owns the log
    with start("demo", "--approve", "--data", str(data), "--json", cwd=here) as process:
        if not answered:
            until(process, "asked")
            assert run(approve) == OK
        moments = objects(process.communicate(timeout=60)[0])

    assert process.returncode == 0, moments
    assert moments[-1]["ok"]
    (file,) = here.iterdir()
    assert file.name == f"{item['run_id']}.md"
    with opened(data) as log:
        events = [recorded.event for recorded in read_run(log, item["run_id"])]
    started = [event.name for event in events if isinstance(event, ToolCallStarted)]
    assert started == ["open_site", "publish"]
    assert not any(isinstance(event, ToolCallFailed) for event in events)


def test_a_run_that_waits_is_not_mixed_up_with_another_question(
    tmp_path: Path, tea: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "log"
    with asking(tea, data, here) as demo:
        demo.until("Type yes or no:")
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == INTERRUPTED

    assert run(["demo", "--approve", "--data", str(data), "--question", "Why?"]) == USAGE
    assert "is not over: it goes on without --source" in capsys.readouterr().err
