"""A machine whose processes come and go while the log stays: crashes in a line of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from outlive.actors import Agent, BackgroundTasks, Runtime, TaskHooks, Tool
from outlive.actors.run_context import EMPTY, Functions
from outlive.events import Event, EventLog, MemoryLog, RunId, run_stream
from tests.support.logs import LaggingLog, MortalLog, events_of
from tests.support.virtual import VirtualClock, clock, run_virtual

T = TypeVar("T")


class CountedIds:
    """Draws `run1`, `run2` and so on."""

    def __init__(self) -> None:
        self._drawn = 0

    def run_id(self) -> RunId:
        self._drawn += 1
        return RunId(f"run{self._drawn}")

    def command_id(self) -> str:
        self._drawn += 1
        return f"command{self._drawn}"


def open_runtime(
    *agents: Agent,
    tools: Sequence[Tool[..., Any]] = (),
    log: EventLog | None = None,
    deps: object = None,
    functions: Functions = EMPTY,
    max_recoveries: int | None = 5,
    background_tasks: BackgroundTasks | None = None,
    task_hooks: TaskHooks | None = None,
) -> Runtime:
    """Return a runtime on the running loop's clock."""
    return Runtime(
        None,
        agents=agents,
        tools=tools,
        functions=functions,
        deps=deps,
        max_recoveries=max_recoveries,
        background_tasks=background_tasks,
        task_hooks=task_hooks,
        clock=clock(),
        ids=CountedIds(),
        log=log,
    )


class Machine:
    """Runs one process after the other, each on a loop of its own, over one log."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.log = MemoryLog(clock=self.clock)

    def run(
        self,
        body: Callable[[Runtime], Awaitable[T]],
        *agents: Agent,
        tools: Sequence[Tool[..., Any]] = (),
        max_recoveries: int | None = 5,
        deps: object = None,
        functions: Functions = EMPTY,
        background_tasks: BackgroundTasks | None = None,
        task_hooks: TaskHooks | None = None,
        lag: float = 0.0,
    ) -> T:
        """Run a process that opens the runtime, does `body`, and closes in good order.

        `lag`: seconds until what was appended is written, see `LaggingLog`.
        """

        async def process() -> T:
            log = LaggingLog(self.log, lag) if lag else self.log
            async with open_runtime(
                *agents,
                tools=tools,
                log=log,
                max_recoveries=max_recoveries,
                deps=deps,
                functions=functions,
                background_tasks=background_tasks,
                task_hooks=task_hooks,
            ) as runtime:
                result = await body(runtime)
            await asyncio.sleep(lag)
            return result

        result = run_virtual(process(), clock=self.clock)
        self.log = self.log.reopened(clean=True)
        return result

    def crash(
        self,
        body: Callable[[Runtime], Awaitable[object]],
        *agents: Agent,
        commits: int | None = None,
        acknowledged: bool = True,
        tools: Sequence[Tool[..., Any]] = (),
        max_recoveries: int | None = 5,
        functions: Functions = EMPTY,
        background_tasks: BackgroundTasks | None = None,
        task_hooks: TaskHooks | None = None,
        lag: float = 0.0,
    ) -> bool:
        """Run a process that dies: when `body` returns, or after so many commits.

        `lag`: what was appended less than so many seconds before is lost with it.

        Returns:
            Whether it died before `body` returned.
        """
        mortal = (
            None if commits is None else MortalLog(self.log, commits, acknowledged=acknowledged)
        )

        async def process() -> bool:
            log = LaggingLog(self.log, lag) if lag else mortal or self.log
            runtime = open_runtime(
                *agents,
                tools=tools,
                log=log,
                max_recoveries=max_recoveries,
                functions=functions,
                background_tasks=background_tasks,
                task_hooks=task_hooks,
            )
            await runtime.__aenter__()
            done = asyncio.ensure_future(body(runtime))
            wanted = [done]
            if mortal is not None:
                wanted.append(asyncio.ensure_future(mortal.dead.wait()))
            await asyncio.wait(wanted, return_when=asyncio.FIRST_COMPLETED)
            # Here it dies: what its tasks do while they are torn down reaches nobody.
            self.log = self.log.reopened()
            if done.done():
                done.result()
            return not done.done()

        return run_virtual(process(), clock=self.clock, dies=True)

    def events(self, run_id: str) -> list[Event]:
        """Return the events of a run."""
        return events_of(self.log, run_id)

    def kinds(self, run_id: str) -> list[str]:
        """Return the tags of the events of a run."""
        return [tag(event) for event in self.events(run_id)]

    def status(self, run_id: str) -> str | None:
        """Return the status in the run's row; None when it has none."""
        entry = self.log.open_entry(run_stream(run_id))
        return None if entry is None else entry.status


def tag(event: Event) -> str:
    """Return the name under which events of this type are stored."""
    name = type(event).__struct_config__.tag
    assert isinstance(name, str)
    return name


def tags(events: Sequence[Event]) -> list[str]:
    """Return the names under which these events are stored."""
    return [tag(event) for event in events]
