"""`outlive runs list`: a table for people, objects for programs, with or without an owner."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, Turn
from outlive.cli._app import run
from outlive.cli._exit import NO_LOG, OK, USAGE
from tests.cli.support import agent, make_run, objects, outlive, start


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with the finished run `done-1` and the failed run `bad-1`, which came later."""
    folder = tmp_path_factory.mktemp("log")
    broken = Agent("broken", model=ScriptedModel([Turn("Half", error=OSError("gone"))]))
    asyncio.run(make_run(folder, "done-1", agent=agent()))
    asyncio.run(make_run(folder, "bad-1", agent=broken))
    return folder


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


def test_runs_are_listed_newest_first(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--data", str(data)]) == OK

    head, bad, done = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "status", "agent", "started", "took", "steps", "tokens", "input"]
    assert bad.split()[:3] == ["bad-1", "failed", "broken"]
    assert done.split()[:3] == ["done-1", "completed", "writer"]
    assert done.endswith("2       9  Take the fingerprint.")


def test_a_page_tells_how_to_get_the_next_one(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "list", "--data", str(data), "--limit", "1"]) == OK
    *_, bad, more = capsys.readouterr().out.splitlines()
    assert bad.startswith("bad-1")
    option = more.split()[-1]
    assert option.startswith("--cursor=")

    assert run(["runs", "list", "--data", str(data), option]) == OK
    _, done = capsys.readouterr().out.splitlines()
    assert done.startswith("done-1")


def test_as_json_it_is_an_object_a_run(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--data", str(data), "--json", "--limit", "1"]) == OK
    bad, more = objects(capsys.readouterr().out)
    assert bad["run_id"] == "bad-1"
    assert bad["error"]["message"] == "OSError: gone"
    assert list(more) == ["cursor"]

    arguments = ["--json", "--cursor", more["cursor"]]
    assert run(["runs", "list", "--data", str(data), *arguments]) == OK
    (done,) = objects(capsys.readouterr().out)
    assert done["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert done["started_at"].endswith("Z")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--status", "failed"], ["bad-1"]),
        (["--agent", "writer"], ["done-1"]),
        (["--since", "1h"], ["bad-1", "done-1"]),
        (["--until", "2000-01-01"], []),
        (["--since", "2000-01-01T00:00:00+05:00", "--status", "completed"], ["done-1"]),
        (["--status", "running"], []),
    ],
)
def test_filters_hold(
    data: Path, filters: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "list", "--data", str(data), "--json", *filters]) == OK
    assert [one["run_id"] for one in objects(capsys.readouterr().out)] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--status", "open"], "failed, cancelled, not 'open'"),
        (["--cursor", "x"], "no cursor of this log"),
        (["--since", "soon"], "--since takes how long ago"),
        (["--until", "999999w"], "--until 999999w ago is before the year 1"),
        (["--limit", "0"], "1 to 1,000"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_wrong_usage(
    data: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "list", "--data", str(data), *arguments]) == USAGE
    assert message in capsys.readouterr().err


def test_no_log_is_said(tmp_path: Path) -> None:
    assert run(["runs", "list", "--data", str(tmp_path / "nowhere")]) == NO_LOG


def test_an_empty_log_has_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        async with Runtime(tmp_path):
            pass

    asyncio.run(make())
    assert run(["runs", "list", "--data", str(tmp_path)]) == OK
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "outlive: no runs\n")


def test_it_works_beside_the_owner_and_without_a_view(tmp_path: Path) -> None:
    async def body() -> list[str]:
        async with Runtime(tmp_path, agents=[agent()]) as rt:
            await rt.run("writer", "Take the fingerprint.", run_id="now-1")
            beside = await asyncio.to_thread(listed)
        shutil.rmtree(tmp_path / "views")
        return [beside, listed()]

    def listed() -> str:
        process = start("runs", "list", "--data", str(tmp_path))
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (OK, ""), outlive()
        return out

    for out in asyncio.run(body()):
        assert "now-1" in out
        assert "completed" in out
