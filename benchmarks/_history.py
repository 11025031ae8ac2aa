"""A log with many finished runs in it, made once and kept in the temporary folder.

The runs are what `Runtime` would have written, but for one thing: a run is one commit with all
its events, so that a million events take seconds.
"""

from __future__ import annotations

import asyncio
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Final

import outlive.events
from benchmarks._workload import AGENT, EVENTS, PAYLOAD, STEPS
from outlive.events import (
    CallId,
    Commit,
    Event,
    LmdbLog,
    ModelCallCompleted,
    ModelCallStarted,
    RequestedToolCall,
    RunCompleted,
    RunStarted,
    ToolCallCompleted,
    ToolCallStarted,
    run_stream,
)
from outlive.events.ids import NO_VERSION

_ON_THEIR_WAY: Final = 2_000
_KEPT: Final = "outlive-bench-history"


def run_events() -> tuple[Event, ...]:
    """Return the events of one finished run."""
    found: list[Event] = [RunStarted(agent_id=AGENT, input="go", max_steps=STEPS)]
    for step in range(STEPS):
        id = CallId(f"{step}.0")
        asked = RequestedToolCall(call_id=id, name="look")
        found += (
            ModelCallStarted(step=step, model="scripted", messages=1 + 2 * step),
            ModelCallCompleted(
                step=step, text=PAYLOAD, tool_calls=(asked,), finish_reason="tool_calls"
            ),
            ToolCallStarted(call_id=id, name="look"),
            ToolCallCompleted(call_id=id, result=PAYLOAD),
        )
    found.append(RunCompleted(finish_reason="max_steps"))
    assert len(found) == EVENTS
    return tuple(found)


def old_log(parent: Path, events: int) -> Path:
    """Return the folder of a log with about `events` events; made unless it is there.

    Its name holds a digest of the room that wrote it: other code makes another log.
    """
    name = f"{events}-{_digest_of_code()}"
    kept = parent / _KEPT
    found = kept / name
    if not found.exists():
        for outdated in kept.glob(f"{events}-*"):
            shutil.rmtree(outdated)
        draft = kept / f"{name}.new"
        shutil.rmtree(draft, ignore_errors=True)
        asyncio.run(_write(draft, events // EVENTS))
        draft.rename(found)
    return found


async def _write(folder: Path, runs: int) -> None:
    log = LmdbLog(folder)
    log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
    events = run_events()
    waiting: list[Commit] = []
    for number in range(runs):
        stream = run_stream(f"old-{number}")
        waiting.append(log.append(stream, events, expected_version=NO_VERSION))
        if len(waiting) == _ON_THEIR_WAY:
            await waiting[-1]
            waiting.clear()
    await asyncio.to_thread(log.close)


def _digest_of_code() -> str:
    state = blake2b(digest_size=6)
    for room in outlive.events.__path__:
        for path in sorted(Path(room).rglob("*.py")):
            state.update(path.read_bytes())
    return state.hexdigest()
