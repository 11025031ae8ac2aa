"""`outlive runs release`: a quarantined run is tried once more, from a terminal."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path

import pytest

from outlive.actors import Agent, EchoModel, Runtime, SyncRuntime
from outlive.cli._app import run
from outlive.cli._exit import FAILED, OK
from outlive.events import (
    LmdbLog,
    ModelCallStarted,
    OpenEntry,
    RunStarted,
    heartbeat_stream,
    run_stream,
    thread_stream,
)
from outlive.events.ids import NO_VERSION
from tests.cli.support import objects, start

ECHO = Agent("echo", model=EchoModel())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A log in which the run `r` is quarantined."""
    log = LmdbLog(tmp_path / "data")
    started = [RunStarted(agent_id="echo", input="hi"), ModelCallStarted(model="echo", messages=1)]
    row = OpenEntry(kind="run", status="quarantined", owes=True, reason="it killed five processes")
    log.append(run_stream("r"), started, expected_version=NO_VERSION, entry=row).result(5)
    log.close()
    return tmp_path / "data"


def status(data: Path) -> str:
    """Own the log, and return what becomes of the run."""
    with SyncRuntime(data, agents=[ECHO]) as rt:
        return rt.result("r").status


def test_what_is_shown_of_a_quarantined_run_can_be_typed(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "show", "r", "--data", str(data)]) == OK
    shown = capsys.readouterr().out
    assert "it killed five processes" in shown
    (line,) = [line for line in shown.splitlines() if "to try once more: " in line]

    assert run(shlex.split(line.partition("outlive ")[2])) == OK
    printed = capsys.readouterr()
    assert printed.out == "submitted; released: run 'r'\n"
    assert "waits until an owner is up" in printed.err
    assert status(data) == "completed"


def test_beside_its_owner_it_is_released_at_once(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> str:
        async with Runtime(data, agents=[ECHO]) as rt:
            assert (await rt.result("r")).status == "quarantined"
            process = start("runs", "release", "r", "--data", str(data), "--json")
            out, _ = await asyncio.to_thread(process.communicate, timeout=60)
            assert (await rt.result("r")).unwrap() == "hi"
            return out

    (said,) = objects(asyncio.run(work()))
    assert said == {"run_id": "r", "said": "released", "submitted": False}
    assert run(["runs", "release", "r", "--data", str(data)]) == FAILED
    assert "is not quarantined: it is completed" in capsys.readouterr().err


def test_without_asyncio(data: Path) -> None:
    with SyncRuntime(data, agents=[ECHO]) as rt:
        assert rt.result("r").status == "quarantined"
        assert rt.release("r") is True
        assert rt.result("r").output == "hi"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A log in which a thread and a heartbeat are quarantined."""
    data = tmp_path / "others"
    with SyncRuntime(data, agents=[ECHO]) as rt:
        rt.threads.create(thread_id="t", resource_id="u")
        rt.heartbeats.create(id="h", agent_id="echo", every=3600, prompt="p")
    log = LmdbLog(data)
    for stream in (thread_stream("t"), heartbeat_stream("hb_h")):
        kind, _, id = stream.partition("-")
        summary = {"agent_id": "echo"}
        row = OpenEntry(
            kind=kind, status="quarantined", owes=True, reason=f"{id} is broken", summary=summary
        )
        log.append(stream, (), expected_version=log.version(stream), entry=row).result(5)
    log.close()
    return data


@pytest.mark.parametrize(("of", "id"), [("threads", "t"), ("heartbeats", "hb_h")])
def test_threads_and_heartbeats_are_released_in_the_same_way(
    others: Path, capsys: pytest.CaptureFixture[str], of: str, id: str
) -> None:
    assert run([of, "show", id, "--data", str(others)]) == OK
    shown = capsys.readouterr().out
    assert "is broken" in shown
    (line,) = [line for line in shown.splitlines() if "to try once more: " in line]

    assert run(shlex.split(line.partition("outlive ")[2])) == OK
    assert capsys.readouterr().out == f"submitted; released: {of.removesuffix('s')} {id!r}\n"
    with SyncRuntime(others, agents=[ECHO]) as rt:

        def statuses() -> tuple[str, str]:
            return rt.threads.get("t").status, rt.heartbeats.get("h").status

        deadline = time.monotonic() + 20
        while statuses() == ("quarantined", "quarantined") and time.monotonic() < deadline:
            continue
        expected = ("idle", "quarantined") if of == "threads" else ("quarantined", "active")
        assert statuses() == expected
    assert run([of, "release", id, "--data", str(others)]) == FAILED
    assert "is not quarantined: it is" in capsys.readouterr().err
