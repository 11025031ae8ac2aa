"""Starting a run from a terminal: through the inbox, in the process that owns the log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from outlive.actors import Runtime
from outlive.cli._exit import OK, complain
from outlive.cli._json import print_json


def start_run(data: Path, agent_id: str, input: str, *, run_id: str | None, json: bool) -> int:
    """Start a run in the owner's process and print its id.

    Raises:
        LogNotFound, AgentNotFound, RunExists, LogError: nothing was started.
    """
    id, submitted = asyncio.run(_start(data, agent_id, input, run_id))
    if json:
        print_json({"run_id": id, "submitted": submitted})
    else:
        print(id)  # alone on its line, for a script to use
    if submitted:
        complain(f"no process owns the log: run {id!r} starts as soon as one does")
    return OK


async def _start(data: Path, agent_id: str, input: str, run_id: str | None) -> tuple[str, bool]:
    async with Runtime(data, role="visitor") as rt:
        run = await rt.start(agent_id, input, run_id=run_id)
        return run.id, run.submitted
