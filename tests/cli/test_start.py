"""`outlive runs start` hands a run to whoever owns the log, or leaves it for the next owner."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from outlive.actors import Agent, EchoModel, Runtime
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE
from tests.cli.support import outlive, start

ECHO = Agent("echo", model=EchoModel())


async def run_cli(*arguments: str) -> tuple[int, str, str]:
    """Run the command in a process of its own; return its exit code and what it printed."""
    process = await asyncio.to_thread(
        subprocess.run, outlive(*arguments), capture_output=True, text=True, timeout=60, check=False
    )
    return process.returncode, process.stdout, process.stderr


def test_a_run_is_started_beside_its_owner_and_watched_to_its_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with Runtime(tmp_path, agents=[ECHO]) as rt:
            data = ("--data", str(tmp_path))
            code, out, err = await run_cli("runs", "start", "echo", "hello", *data)
            assert (code, err) == (OK, "")
            run_id = out.strip()
            assert (await rt.result(run_id)).output == "hello"
            code, out, _ = await run_cli("runs", "watch", run_id, *data)
            assert code == OK
            assert "run-completed" in out

            again = ("runs", "start", "echo", "hello", "--run-id", "mine", *data)
            assert [(await run_cli(*again))[0] for _ in range(2)] == [OK, OK]
            code, _, err = await run_cli("runs", "start", "echo", "bye", "--run-id", "mine", *data)
            assert (code, "'mine' exists already" in err) == (FAILED, True)
            code, _, err = await run_cli("runs", "start", "nobody", "hello", *data)
            assert (code, "(known: 'echo')" in err) == (NOT_FOUND, True)
            code, _, err = await run_cli("runs", "start", "\udcff", "hello", *data)
            assert (code, "no id of a agent" in err) == (USAGE, True)
            code, _, err = await run_cli("runs", "start", "echo", "hello", "--run-id", " ", *data)
            assert (code, "no id" in err) == (USAGE, True)

    asyncio.run(work())


def test_without_an_owner_it_waits_and_is_known(tmp_path: Path) -> None:
    async def work() -> None:
        data = ("--data", str(tmp_path))
        assert (await run_cli("runs", "start", "echo", "hello", *data))[0] == NO_LOG
        async with Runtime(tmp_path, agents=[ECHO]):
            pass
        start_it = ("runs", "start", "echo", "hello", "--run-id", "r", "--json", *data)
        code, out, err = await run_cli(*start_it)
        assert (code, json.loads(out)) == (OK, {"run_id": "r", "submitted": True})
        assert "no process owns the log" in err
        code, _, err = await run_cli("runs", "show", "r", *data)
        assert (code, "waits for an owner" in err) == (NOT_FOUND, True)

        watching = start("runs", "watch", "r", *data)
        async with Runtime(tmp_path, agents=[ECHO]):
            out, _ = await asyncio.to_thread(watching.communicate, timeout=60)
        assert (watching.returncode, "run-completed" in out) == (OK, True)

    asyncio.run(work())
