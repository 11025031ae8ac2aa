"""`outlive demo`: what it says is true, and nothing is left behind."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import Agent, Background, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.cli._app import run
from outlive.cli._exit import INTERRUPTED, USAGE
from outlive.events import LmdbReader, task_stream
from outlive.projections import read_run
from tests.cli.support import Gated, closed_port, objects, page, start, write_site

QUESTION = "How hot should the water for tea be?"


def of_type(moments: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [moment for moment in moments if moment["type"] == kind]


def tea(folder: Path) -> Path:
    """Write a small site about tea."""
    return write_site(
        folder,
        {
            "index.html": page(
                "Drinks",
                "All drinks of the house stand here.",
                links=["green.html", "black.html", "lost.html"],
            ),
            "green.html": page(
                "Green tea",
                "Green tea should be brewed with water at seventy degrees.",
                "Boiling water makes green tea bitter, and hot water wakes it up.",
                links=["index.html", "coffee.html"],
            ),
            "black.html": page("Black tea", "Black tea wants water that has just boiled."),
            "coffee.html": page("Coffee", "Coffee is ground before it is brewed with hot water."),
        },
    )


@pytest.mark.slow
def test_the_handbook_is_read_once_in_tasks_by_workers_that_are_killed(tmp_path: Path) -> None:
    process = start("demo", "--data", str(tmp_path / "log"), "--json")
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    moments = objects(out)
    (begun,) = of_type(moments, "begun")
    assert "no LLM" in begun["model"]

    workers = of_type(moments, "worker-started")
    kills = of_type(moments, "killed")
    assert [kill["signal"] for kill in kills] == ["SIGKILL"] * 3
    assert [kill["pid"] for kill in kills] == [worker["pid"] for worker in workers[:3]]
    assert len({worker["pid"] for worker in workers}) == 4
    reading, more, answering = kills
    assert len(reading["tasks"]) > 1  # several were at work
    assert 0 < reading["pages"] < more["pages"] <= 24
    assert "the answer" in answering["in_flight"]
    assert answering["characters"] > 0

    pages = of_type(moments, "page-recorded")
    assert len({recorded["path"] for recorded in pages}) == len(pages) == 24
    assert {recorded["task"] for recorded in pages} == set(range(7))

    recovered = of_type(moments, "recovered")
    assert [taken["number"] for taken in recovered] == [2, 3, 4]
    assert [taken["tasks"] for taken in recovered] == [kill["tasks"] for kill in kills]
    again = [task["number"] for task in of_type(moments, "task-begun") if task["attempt"] > 1]
    assert sorted(again) == sorted([*reading["tasks"], *more["tasks"]])
    for kind in ("task-queued-up", "task-over", "outcome-heard"):
        assert sorted(task["number"] for task in of_type(moments, kind)) == [1, 2, 3, 4, 5, 6]

    (void,) = of_type(moments, "answer-void")
    (answered,) = of_type(moments, "answered")
    pieces = of_type(moments, "answer-grew")
    begun_text = "".join(piece["text"] for piece in pieces if piece["attempt"] == 1)
    assert len(begun_text) == void["characters"] == answering["characters"]
    assert answered["text"].startswith(begun_text)
    assert answered["attempt"] == 2

    report = moments[-1]
    assert report["type"] == "report"
    assert report["ok"], report["checks"]
    assert report["status"] == "completed"
    cut_off = Counter(path for kill in report["kills"] for path in kill["fetched_again"])
    assert report["fetches"] == {page["path"]: 1 + cut_off[page["path"]] for page in pages}
    assert len(report["fetches"]) == report["pages"] == 24
    assert [task["status"] for task in report["tasks"]] == ["succeeded"] * 6
    assert (report["model_answers"], report["model_attempts"]) == (3, 4)
    assert (report["model_abandoned"], report["tool_attempts"], report["recoveries"]) == (1, 1, 3)

    log = LmdbReader(tmp_path / "log")
    try:
        events = read_run(log, begun["run_id"])
        tasks = [log.read(task_stream(task["task_id"])) for task in report["tasks"]]
    finally:
        log.close()
    assert report["events"] == len(events) + sum(map(len, tasks))
    (seen,) = [check for check in report["checks"] if check["name"] == "seen once"]
    assert seen["holds"]
    assert f"all {report['events']} events of the run and its 6 tasks" in seen["says"]


@pytest.mark.slow
def test_a_folder_of_ones_own_is_read_and_the_text_output_says_what_happened(
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = start(
        "demo",
        "--source",
        str(tea(tmp_path / "site")),
        "--question",
        QUESTION,
        env={"TMPDIR": str(temporary)},
    )
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, ""), out
    assert out.count("SIGKILL to worker") == 3
    assert "lost.html  (skipped: the site answered 404)" in out
    assert "the answer starts anew" in out
    assert "Green tea should be brewed with water at seventy degrees. [1]" in out
    assert "✓ 5 pages, " in out
    assert not any(line.startswith("✗") for line in out.splitlines())
    assert "\x1b" not in out
    assert list(temporary.iterdir()) == []


def test_nobody_is_killed_when_asked_not_to(tmp_path: Path) -> None:
    process = start(
        "demo",
        "--no-kill",
        "--source",
        str(tea(tmp_path / "site")),
        "--question",
        QUESTION,
        "--json",
    )
    out, _ = process.communicate(timeout=60)

    moments = objects(out)
    assert process.returncode == 0
    assert of_type(moments, "killed") == []
    assert len(of_type(moments, "worker-started")) == 1
    assert moments[-1]["ok"]


def test_a_site_that_does_not_answer_is_a_failure_with_the_reason() -> None:
    url = f"http://127.0.0.1:{closed_port()}/"
    process = start("demo", "--source", url, "--no-kill")
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"cannot read {url}: Connection refused" in out
    assert "✗" in out


def first(process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """Read moments until one is of this kind."""
    assert process.stdout is not None
    for line in process.stdout:
        moment: dict[str, Any] = json.loads(line)
        if moment["type"] == kind:
            return moment
    raise AssertionError(f"it ended before {kind}")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is no child")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_terminal(tmp_path: Path, end: signal.Signals) -> None:
    with start("demo", "--json", env={"TMPDIR": str(tmp_path)}, pause=1.5) as process:
        pid = first(process, "worker-started")["pid"]
        first(process, "page-recorded")
        worker = os.pidfd_open(pid)
        try:
            process.send_signal(end)
            process.communicate(timeout=60)
            assert select.select([worker], [], [], 20)[0], "the worker still lives"
        finally:
            os.close(worker)

    if end is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert list(tmp_path.iterdir()) == []


def test_a_demo_that_was_left_while_it_read_goes_on_with_the_pages_it_has(tmp_path: Path) -> None:
    data = str(tmp_path / "log")
    with start("demo", "--json", "--no-kill", "--data", data, pause=1.5) as process:
        run_id = first(process, "begun")["run_id"]
        while first(process, "page-recorded")["done"] < 6:
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert f"run {run_id} is left in {data}: nothing is lost" in err
    assert f"to go on with it: outlive demo --data {data}" in err

    process = start("demo", "--json", "--data", data)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, ""), out
    moments = objects(out)
    assert (moments[0]["run_id"], moments[0]["goes_on"]) == (run_id, True)
    assert of_type(moments, "killed") == []
    (taken,) = of_type(moments, "recovered")
    assert len(taken["tasks"]) > 0
    report = moments[-1]
    assert report["ok"], report["checks"]
    assert report["pages"] == 24
    kept = 24 - len(report["fetches"])  # as the second server counted
    assert kept >= 6
    (fetched,) = [check for check in report["checks"] if check["name"] == "fetched once"]
    assert f"{kept} pages kept and not fetched again; {24 - kept} pages" in fetched["says"]


def test_a_demo_whose_site_cannot_be_served_again_says_so(tmp_path: Path) -> None:
    data = str(tmp_path / "log")
    with start("demo", "--json", "--no-kill", "--data", data, pause=1.5) as process:
        site = first(process, "begun")["site"]
        first(process, "page-recorded")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(site.split(":")[2].partition("/")[0])))
        taken.listen()
        process = start("demo", "--data", data)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"cannot be served again at {site}: Address already in use" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--source", "/no/such/folder"], "is no folder"),
        (["--source", "http://"], "is no address of a site"),
        (["--source", "{empty}"], "there is no HTML page in the folder"),
        (["--question", "  "], "--question is empty"),
        (["--max-pages", "0"], "--max-pages is 1 or more"),
        (["--keep", "--data", "{empty}/log"], "--keep is for the temporary folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    given = [argument.format(empty=tmp_path) for argument in arguments]

    assert run(["demo", *given]) == USAGE
    told = capsys.readouterr()
    assert says in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_unfinished_runs_of_others_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def leave_one_unfinished() -> None:
        other = Agent("other", model=Gated(asyncio.Event()))
        async with Runtime(tmp_path, agents=[other]) as rt:
            await rt.start(other, "Wait.", run_id="theirs")

    asyncio.run(leave_one_unfinished())

    assert run(["demo", "--data", str(tmp_path)]) == USAGE
    assert "holds unfinished runs of other agents" in capsys.readouterr().err


def test_the_finished_tasks_of_others_are_no_hindrance(tmp_path: Path) -> None:
    @tool(read_only=True, background=Background(mode="awaited"))
    async def wait() -> str:
        """Wait."""
        return "waited"

    async def finish_one() -> None:
        turns = [Turn(tool_calls=[ToolCall("wait", {})]), Turn("done")]
        other = Agent("other", model=ScriptedModel(turns), tools=[wait])
        async with Runtime(tmp_path / "log", agents=[other]) as rt:
            (await rt.run(other, "Wait.")).unwrap()

    asyncio.run(finish_one())
    site = write_site(tmp_path / "site", {"index.html": page("Tea", "Tea is hot.")})
    arguments = ["--no-kill", "--source", str(site), "--question", "Is tea hot?"]
    process = start("demo", "--data", str(tmp_path / "log"), *arguments, "--json")
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert objects(out)[-1]["ok"]


def test_a_folder_that_has_an_owner_cannot_be_opened(tmp_path: Path) -> None:
    async def own() -> subprocess.Popen[str]:
        async with Runtime(tmp_path):
            process = start("demo", "--data", str(tmp_path), "--json")
            await asyncio.to_thread(process.wait, 20)
        return process

    process = asyncio.run(own())
    out, err = process.communicate()
    assert process.returncode == 3
    assert [moment["type"] for moment in objects(out)] == ["begun", "worker-started"]
    assert "has an owner already" in err
    assert len(err.splitlines()) == 1
