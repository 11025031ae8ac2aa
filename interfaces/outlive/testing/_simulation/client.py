"""Who uses the runtime from outside: goes on over its deaths, and holds it to its word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from outlive.actors import Agent, Runtime, SignalAccepted, UntilIdle
from outlive.actors.thread.submitted import OnBusy
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    Event,
    LogError,
    RunCancelled,
    RunId,
    RunResumed,
    RunStarted,
    ToolCallResolved,
    Version,
    run_stream,
    thread_stream,
)
from outlive.events.run.parts import Input
from outlive.projections import Pending, RunResult
from outlive.testing._durations import seconds_of
from outlive.testing._simulation.client_tasks import ClientTasks
from outlive.testing._simulation.process import Process
from outlive.testing._world import World

if TYPE_CHECKING:
    from outlive.testing._simulation.simulation import Simulation

T = TypeVar("T")


class Observed:
    """What one observer of a run saw, which asked for what comes after a version."""

    def __init__(self, run_id: str, after: int) -> None:
        self.run_id: Final = run_id
        self.after: Final = after
        self.seen: Final[list[tuple[Version, Event]]] = []


class Acknowledged:
    """What clients were told: it must be true after every crash."""

    def __init__(self) -> None:
        self.started: Final[dict[str, None]] = {}
        self.results: Final[dict[str, RunResult]] = {}
        self.observed: Final[list[Observed]] = []


class Client:
    """Calls the runtime of whatever process is up, and calls the next one when that one dies.

    All calls may be repeated without harm: the client draws the ids. It stands outside of the
    simulated processes, so it outlives them. What is acknowledged to it has to be in the log.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.tasks: Final = ClientTasks(self, simulation)

    @property
    def world(self) -> World:
        """What has happened outside."""
        return self._simulation.world

    async def start(
        self,
        agent: str | Agent,
        input: Input,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        on_busy: OnBusy = "queue",
        metadata: Mapping[str, object] | None = None,
        request_context: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        until_idle: bool | UntilIdle = False,
    ) -> str:
        """Start a run; return its id once it is acknowledged. See `Runtime.start`."""
        agent_id = agent.id if isinstance(agent, Agent) else agent
        id = self._simulation.ids.run_id() if run_id is None else RunId(run_id)

        async def start(rt: Runtime) -> str:
            started = await rt.start(
                agent_id,
                input,
                run_id=id,
                thread_id=thread_id,
                resource_id=resource_id,
                on_busy=on_busy,
                metadata=metadata,
                request_context=request_context,
                provider_options=provider_options,
                until_idle=until_idle,
            )
            if thread_id is None:
                self._require("start", id, RunStarted)
            return started.id

        started = await self.call(start)
        self._simulation.acknowledged.started[started] = None
        return started

    async def signal(
        self, contents: Input, *, thread_id: str, idempotency_key: str | None = None, **how: Any
    ) -> SignalAccepted:
        """Say something to whoever works on a thread. See `Runtime.signal`.

        Raises:
            AssertionError: it was accepted before it was in the log.
        """
        key = idempotency_key or str(self._simulation.ids.run_id())

        async def signal(rt: Runtime) -> SignalAccepted:
            accepted = await rt.signal(contents, thread_id=thread_id, idempotency_key=key, **how)
            held = self._simulation.disk.store.version(thread_stream(thread_id))
            if not held:
                raise AssertionError("a signal was accepted, and its thread is not in the log")
            return accepted

        return await self.call(signal)

    async def result(self, run_id: str) -> RunResult:
        """Wait until a run is at rest. See `Runtime.result`."""
        result = await self.call(lambda rt: rt.result(run_id))
        self._simulation.acknowledged.results[run_id] = result
        return result

    async def run(
        self, agent: str | Agent, input: Input, *, run_id: str | None = None
    ) -> RunResult:
        """Start a run and wait for its result."""
        return await self.result(await self.start(agent, input, run_id=run_id))

    async def resume(
        self, run_id: str, value: object, *, suspension: str | None = None, by: str = ""
    ) -> None:
        """Answer what a run asks. See `Runtime.resume`."""

        async def resume(rt: Runtime) -> None:
            await rt.resume(run_id, value, suspension=suspension, by=by)
            self._require("answer", run_id, RunResumed, ApprovalGranted, ApprovalDenied)

        await self.call(resume)

    async def approve(self, run_id: str, call_id: str, **how: Any) -> None:
        """Agree to a tool call. See `Runtime.approve`."""

        async def approve(rt: Runtime) -> None:
            await rt.approve(run_id, call_id, **how)
            self._require("approval", run_id, ApprovalGranted, call_id=call_id)

        await self.call(approve)

    async def decline(self, run_id: str, call_id: str, *, reason: str = "") -> None:
        """Do not agree to a tool call. See `Runtime.decline`."""

        async def decline(rt: Runtime) -> None:
            await rt.decline(run_id, call_id, reason=reason)
            self._require("denial", run_id, ApprovalDenied, call_id=call_id)

        await self.call(decline)

    async def resolve(self, run_id: str, call_id: str, **how: Any) -> None:
        """Say what became of a tool call in doubt. See `Runtime.resolve`."""

        async def resolve(rt: Runtime) -> None:
            await rt.resolve(run_id, call_id, **how)
            self._require("resolution", run_id, ToolCallResolved, call_id=call_id)

        await self.call(resolve)

    async def cancel(self, run_id: str, reason: str = "") -> None:
        """End a run. See `Runtime.cancel`."""

        async def cancel(rt: Runtime) -> None:
            await rt.cancel(run_id, reason)
            if self._simulation.disk.store.version(run_stream(run_id)):  # else it waits its turn
                self._require("end", run_id, RunCancelled)

        await self.call(cancel)

    async def pending(self) -> list[Pending]:
        """Return what waits for a person. See `RunsQuery.pending`."""
        return await self.call(lambda rt: rt.runs.pending())

    async def observe(self, run_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events of a run, each once, until it is over: over all deaths.

        Raises:
            AssertionError: a version was told twice, or left out.
        """
        observed = Observed(run_id, after)
        self._simulation.acknowledged.observed.append(observed)
        version = after
        while True:
            page = await self.call(lambda rt, after=version: _some_events(rt, run_id, after))  # type: ignore[misc]
            if not page:
                return
            for at, event in page:
                if at != version + 1:
                    raise AssertionError(
                        f"an observer of {run_id} was told version {at} after {version}"
                    )
                observed.seen.append((at, event))
                version = at
                yield event

    async def wait_for_more(self, run_id: str, *, after: int) -> None:
        """Wait until a run has events beyond version `after`, or is over."""
        await self.call(lambda rt: _some_events(rt, run_id, after))

    async def sleep(self, duration: float | timedelta | str) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds_of(duration))

    async def call(self, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
        """Do `work` with the runtime; if its process dies meanwhile, again with the next one.

        Raises whatever `work` raises, unless that is the end of its process.
        """
        if asyncio.get_running_loop() is not self._simulation.loop:
            raise RuntimeError("a simulation runs on a loop of its own: use `Simulation.drive`")
        while True:
            life = await self._simulation.up()
            task = asyncio.get_running_loop().create_task(
                work(life.runtime), context=life.process.context.copy()
            )
            await self._ended(task, life.process)
            if not task.done():
                continue
            try:
                return task.result()
            except LogError:
                if life.serves and not life.ended:
                    raise
                # It was closed, or has lost the log: the next one is asked.
            except asyncio.CancelledError:
                if life.process.alive and not life.ended:
                    raise

    def _require(self, what: str, run_id: str, *kinds: type[Event], call_id: str = "") -> None:
        """What was just acknowledged is in the log: looked for from its end."""
        store = self._simulation.disk.store
        for _, position in reversed(store.index.get(run_stream(run_id), ())):
            events = store.record(position).events if store.records[position - 1] else ()
            for event in events:
                if isinstance(event, kinds) and call_id in ("", getattr(event, "call_id", "")):
                    return
        raise AssertionError(f"the {what} of {run_id} was acknowledged, and is not in the log")

    async def _ended(self, task: asyncio.Task[Any], process: Process) -> None:
        """Wait until the task is done, or will never be."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        task.add_done_callback(wake)
        process.when_dead(wake)
        try:
            await waiter
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            process.never_mind(wake)


async def _some_events(rt: Runtime, run_id: str, after: int) -> list[tuple[Version, Event]]:
    """Wait for the next events of a run; an empty list when there are none to come."""
    async for recorded in rt.observe(run_id, after=after):
        found = [(recorded.version, recorded.event)]
        page = rt.log.read(run_stream(run_id), after=recorded.version, limit=100)
        return found + [(other.version, other.event) for other in page]
    return []
