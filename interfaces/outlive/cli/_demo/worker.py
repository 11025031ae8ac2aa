"""The process that does the work: opens the log, starts the run or goes on with it, and ends.

The first process starts the run, the ones after it find it: they all call `start` with the same
id and input, and whatever is unfinished goes on by the opening of the log alone.

It says one line of JSON on stdout once the run is durable, or why it cannot work. It ends by
itself when its stdin is closed: then whoever started it is dead.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import msgspec
import structlog

from outlive.actors import Runtime
from outlive.cli._demo.agent import AGENT_ID, research_agent
from outlive.cli._exit import code_of
from outlive.events import OutliveError


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs to be gone on with. Stored with it, as its request context."""

    max_pages: int
    served: str | None = None  # the folder, if the demo serves the site


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do. Handed over as JSON, in its one argument."""

    data: str
    run_id: str
    input: str
    setting: Setting
    pause: float
    answer_time: float


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The run is durable, and being worked on."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """The worker cannot work. `code` is the exit code that fits."""

    reason: str
    code: int


async def work(job: Job) -> None:
    """Start the run, or go on with it, until it is over. While a person is asked, wait.

    Raises:
        LogError: the log cannot be opened.
    """
    agent = research_agent(
        max_pages=job.setting.max_pages, pause=job.pause, answer_time=job.answer_time
    )
    async with Runtime(Path(job.data), agents=[agent], role="owner") as rt:
        context = msgspec.structs.asdict(job.setting)
        run = await rt.start(AGENT_ID, job.input, run_id=job.run_id, request_context=context)
        _tell(Ready())
        if (await run.result()).status == "suspended":
            async for _ in run.events():
                pass


def _tell(line: Ready | Refusal) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """Wait for the end of stdin, then end. Not in good order: that is no news to the log."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def main() -> None:
    """Do the job given as JSON in the one argument of this process."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        asyncio.run(work(job))
    except OutliveError as error:
        _tell(Refusal(reason=str(error), code=code_of(error)))
        sys.exit(1)


if __name__ == "__main__":
    main()
