"""A runtime, unchanged, whose processes, disk, threads and time are simulated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

from outlive.actors import (
    Agent,
    BackgroundTasks,
    Heartbeat,
    HeartbeatHooks,
    Runtime,
    TaskHooks,
    Tool,
)
from outlive.actors.effects import EffectTable
from outlive.actors.run_context import EMPTY, Functions
from outlive.events import Event, StreamId, run_stream, task_stream, thread_stream
from outlive.events.ids import id_of
from outlive.events.lmdb_store.durability import Durability, check_durability
from outlive.projections import Pending, RunResult, pending_of
from outlive.projections.tasks import task_pending_of
from outlive.testing._durations import seconds_of
from outlive.testing._failure import is_failure, told
from outlive.testing._invariants import Invariants
from outlive.testing._simulation.baton import BatonThreads
from outlive.testing._simulation.client import Acknowledged, Client
from outlive.testing._simulation.clock import START, SimulatedClock
from outlive.testing._simulation.collector import CollectorAtRest
from outlive.testing._simulation.disk import Disk, SimulatedLog
from outlive.testing._simulation.life import Life, SeededIds
from outlive.testing._simulation.logs import Logs
from outlive.testing._simulation.loop import Stuck, simulation_loop
from outlive.testing._simulation.model import watched_agent
from outlive.testing._simulation.points import Fate, Points, check_fates, check_names
from outlive.testing._simulation.processes import Processes
from outlive.testing._simulation.workers import SimulatedWorkers
from outlive.testing._world import World

T = TypeVar("T")

Agents: TypeAlias = Sequence[Agent] | Callable[[World], Sequence[Agent]]
"""Agents, or what makes them from the world for each process anew."""
Hooks: TypeAlias = HeartbeatHooks | Callable[[World], HeartbeatHooks] | None
"""Functions around the fires of heartbeats, or what makes them from the world."""


class Simulation:
    """Runs agents as they would run for real, on virtual time, and kills their process at will.

    The same seed gives the same log, byte for byte. A process that dies is followed by the next
    one, `restart_after` seconds later, as a supervisor would see to. Use it in a `with`.

    Args:
        agents: what may be run; or a function that makes it, from the `World`, for each process
            anew.
        seed: decides everything that is left to chance: which of the ready callbacks runs next,
            how long a write takes, ids.
        world: what is outside; a new one if left out.
        deps: makes what tools have as `ctx.deps`, for each process anew: stand-ins for what is
            outside, that note in the `World` what is done to them. The `World` if left out.
        tools, functions, background_tasks, task_hooks, heartbeats: see `Runtime`.
        heartbeat_hooks: see `Runtime`; or a function that makes them from the `World`, for each
            process anew.
        durability: `relaxed` lets a loss of power take the last commits.
        max_recoveries: see `Runtime`.
        save_every: see `Runtime`; small here, so that saved states are read too.
        at_most_once: names of effects in the `World` that never happen twice under one key.
        invariants: check them after every step; without, a simulation is several times faster, and
            only `run_until_idle` looks, whether anything is left that nobody will ever move on.
        restart_after: virtual seconds from a death to the next start.
        order: another number is another order of what goes on side by side, with the same ids.
        late: virtual seconds by which a model call or a tool call may begin late, as on a machine
            that is overloaded; so those that run side by side end in any order. What is inside
            of them is not late, so no deadline passes that would not pass otherwise.
        start: the wall clock's first instant.
        crash_at: at which points (see `points`) a process dies, or freezes. One that is not
            reached does nothing.

    Raises:
        InvalidDefinition, ValueError: an argument that cannot be.
    """

    def __init__(
        self,
        agents: Agents = (),
        *,
        seed: int = 0,
        world: World | None = None,
        deps: Callable[[World], object] | None = None,
        tools: Sequence[Tool[..., Any] | Callable[..., Any]] = (),
        functions: Functions = EMPTY,
        background_tasks: BackgroundTasks | None = None,
        task_hooks: TaskHooks | None = None,
        heartbeats: Sequence[Heartbeat] = (),
        heartbeat_hooks: Hooks = None,
        durability: Durability = "sync",
        max_recoveries: int | None = 5,
        save_every: int = 7,
        at_most_once: Collection[str] = (),
        invariants: bool = True,
        restart_after: float = 0.1,
        order: int = 0,
        late: float = 0.0,
        start: datetime = START,
        crash_at: Mapping[int, Fate] | None = None,
    ) -> None:
        self.seed: Final = seed
        self.order: Final = order
        self.clock: Final = SimulatedClock(start)
        other = f" {order}" if order else ""
        self.loop: Final = simulation_loop(self.clock, Random(f"{seed} order{other}"))
        self.loop.late, self.loop.begins_late = seconds_of(late), _is_effect
        check_durability(durability)
        self.points: Final = Points(fates=check_fates(crash_at or {}))
        self.disk: Final = Disk(
            random=Random(f"{seed} disk{other}"), points=self.points, durability=durability
        )
        self.ids: Final = SeededIds(Random(f"{seed} ids"))
        # Of their own, so that a death, which draws others, does not change them.
        self._process_ids: Final = SeededIds(Random(f"{seed} ids of processes"))
        self.world: Final = World() if world is None else world
        self.client: Final = Client(self)
        self.acknowledged: Final = Acknowledged()
        self.logs: Final = Logs(self.clock)
        self._agents = agents
        self._deps = deps
        self._tools = tools
        self._functions = functions
        self._background_tasks = background_tasks
        self._task_hooks = task_hooks
        self._heartbeats = heartbeats
        self._heartbeat_hooks = heartbeat_hooks
        self._max_recoveries = max_recoveries
        self._save_every = save_every
        self.loop.pace = self._pace
        self._threads = BatonThreads(self.loop)
        self.loop.threads = self._threads
        self._processes: Final = Processes(
            self.loop,
            disk=self.disk,
            clock=self.clock,
            points=self.points,
            make=self._make_runtime,
            restart_after=seconds_of(restart_after),
        )
        self.invariants: Final = Invariants(
            self.disk,
            self.world,
            self._processes.runtime,
            clock=self.clock,
            at_most_once=check_names("at_most_once", at_most_once),
        )
        if invariants:
            self.loop.after_step = self.invariants.check

    # -- processes

    @property
    def life(self) -> Life | None:
        """The process that serves now, with its runtime; None while there is none."""
        return self._processes.life

    @property
    def runtime(self) -> Runtime:
        """The runtime of the process that is up, started if need be. Its calls are async."""
        self.run_until_up()
        runtime = self._processes.runtime()
        assert runtime is not None
        return runtime

    @property
    def deaths(self) -> int:
        """How many processes have died, by a kill or because they had lost their log."""
        return self._processes.deaths

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._processes.over

    async def up(self) -> Life:
        """Return the process that serves, once it does."""
        return await self._processes.up()

    def _make_runtime(self, log: SimulatedLog) -> Runtime:
        agents = self._agents(self.world) if callable(self._agents) else self._agents
        hooks = self._heartbeat_hooks
        return Runtime(
            None,
            agents=[watched_agent(agent, self.points) for agent in agents],
            deps=self.world if self._deps is None else self._deps(self.world),
            tools=self._tools,
            functions=self._functions,
            background_tasks=self._background_tasks,
            task_hooks=self._task_hooks,
            heartbeats=self._heartbeats,
            heartbeat_hooks=hooks(self.world) if callable(hooks) else hooks,
            max_recoveries=self._max_recoveries,
            save_every=self._save_every,
            clock=self.clock,
            ids=self._process_ids,
            executor=self._threads,
            workers=SimulatedWorkers(self._threads, self.clock),
            log=log,
        )

    def crash(self, *, power_loss: bool = False) -> None:
        """Kill the process that is up, as SIGKILL does; the next call starts another one.

        Args:
            power_loss: the machine goes down: with `durability="relaxed"`, commits that were
                not synced yet are lost.
        """
        self._processes.kill()
        if power_loss:
            self.disk.lose_power()
            self.invariants.begin_again()

    def freeze(self) -> None:
        """Stop the process that is up, as SIGSTOP does; another one takes over."""
        self._processes.freeze()

    @property
    def frozen(self) -> int:
        """How many processes are frozen."""
        return self._processes.frozen

    def thaw(self) -> None:
        """Let frozen processes go on. They are not the log's owner any more, if one took over."""
        self._processes.thaw()

    def stop(self) -> None:
        """Close the runtime in good order; the next call starts another process."""
        life = self.life
        if life is None:
            return
        with self._processes.closing(life):
            self.drive(life.close())

    def _pace(self) -> object:
        """Return what has come of everything so far: commits, and effects on the world."""
        if self.points.most is not None and self.points.count > self.points.most:
            raise Stuck(
                f"{self.points.count:,} points, and no end: a sweep is for scenarios with at most "
                f"{self.points.most:,}"
            )
        return self.disk.writes, self.points.count

    # -- driving it, from a test that is not async

    def drive(self, body: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine outside of the processes, until it is done."""
        with self.logs.kept():
            return self.loop.run_until_complete(self.spawn(body))

    def spawn(self, body: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a coroutine outside of the processes; it goes on whenever the simulation runs."""
        if self.closed:
            body.close()
            raise RuntimeError("the simulation is over")
        return self.loop.create_task(body, context=self._processes.outside)

    def run(self, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
        """Do something with the runtime, and return what it returns. See `Client.call`."""
        return self.drive(self.client.call(work))

    def start(
        self,
        agent: str | Agent,
        input: str,
        *,
        run_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Start a run; return its id once it is acknowledged."""
        return self.drive(self.client.start(agent, input, run_id=run_id, metadata=metadata))

    def result(self, run_id: str) -> RunResult:
        """Run until a run is at rest, and return its result."""
        return self.drive(self.client.result(run_id))

    def events(self, run_id: str) -> list[Event]:
        """Return the events of a run, as the disk has them."""
        return [e for record in self.records(run_id) for e in record]

    def task_events(self, task_id: str) -> list[Event]:
        """Return the events of a background task, as the disk has them."""
        return [e for record in self._records(task_stream(task_id)) for e in record]

    def thread_events(self, thread_id: str) -> list[Event]:
        """Return the events of a thread, as the disk has them."""
        return [e for record in self._records(thread_stream(thread_id)) for e in record]

    def records(self, run_id: str) -> list[tuple[Event, ...]]:
        """Return the commits of a run, as the disk has them: the events of each."""
        return self._records(run_stream(run_id))

    def _records(self, stream: StreamId) -> list[tuple[Event, ...]]:
        store = self.disk.store
        index = store.index.get(stream, [])
        return [store.record(at).events for _, at in index if store.records[at - 1]]

    def pending(self) -> list[Pending]:
        """Return what waits for a person, as the disk has it. See `RunsQuery.pending`."""
        store = self.disk.store
        found: list[Pending] = []
        for stream, row in store.open.items():
            if "waiting_for" in row.summary:
                index = [at for _, at in store.index[stream] if store.records[at - 1]]
                recorded = (each for at in index for each in store.record(at).recorded())
                if row.kind == "task":
                    found += task_pending_of(recorded)
                else:
                    found += pending_of(id_of(stream), recorded)
        return found

    def advance(self, duration: float | timedelta | str) -> None:
        """Let virtual time pass: `sim.advance("3d")`. What is due meanwhile happens."""
        self.run_until_up()
        deadline = self.loop.time() + seconds_of(duration)
        with self.logs.kept():
            self.loop.run_until(lambda: False, deadline=deadline)

    def go_on(self, steps: int, *, at_most: float = 1.0) -> None:
        """Run so many callbacks, or let `at_most` seconds pass if fewer of them come."""
        last = self.loop.steps + steps
        deadline = self.loop.time() + seconds_of(at_most)
        with self.logs.kept():
            self.loop.run_until(lambda: self.loop.steps >= last, deadline=deadline)

    def run_until_up(self) -> None:
        """Start a process if none is up."""
        self.drive(self._up())

    async def _up(self) -> None:
        await self.up()

    def run_until_idle(self) -> None:
        """Run until nothing is ready and nothing is due, however far off.

        Raises:
            InvariantViolated: an open run is left that nobody will ever move on.
        """
        self.run_until_up()
        with self.logs.kept():
            self.loop.run_until(lambda: self.loop.idle)
        if self.loop.after_step is not None:
            self.invariants.check()
        self.invariants.check_idle()

    def jump_clock(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time passes."""
        self.clock.jump(seconds)

    @property
    def log_bytes(self) -> bytes:
        """All records on the disk, as stored, one after the other."""
        return b"".join(self.disk.store.records)

    def close(self) -> None:
        """End it. What still runs ends as with a kill. Twice is once.

        Raises:
            AssertionError: something failed in a callback or task that nobody has looked at.
        """
        if self.closed:
            return
        self.loop.after_step = None  # What is seen from here on is the end of the simulation.
        self.points.most = None
        self.loop.ending = True
        self._processes.end()
        with self.logs.kept():
            self.loop.run_until(lambda: not self.loop.ready)
            self.loop.clear_graveyard()
        self.loop.close()

    def check_unhandled(self) -> None:
        """Raise AssertionError if something failed that nobody has looked at."""
        for context in self.loop.unhandled:
            error = context.get("exception")
            raise AssertionError(f"unhandled: {context.get('message')}: {error!r}") from error

    def __enter__(self) -> Self:
        """Use it."""
        self._collector = CollectorAtRest()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it. What has failed in it is given a note of what it has done."""
        try:
            self.close()
        finally:
            self._collector.go_on()
        if error is None:
            self.check_unhandled()
        elif is_failure(error):
            error.add_note(f"\n{told(self)}")


def _is_effect(coroutine: object) -> bool:
    """Whether a task is an effect: the deadline of a call begins within it."""
    return getattr(coroutine, "cr_code", None) is EffectTable.perform.__code__


__all__ = ["Agents", "Simulation", "Stuck"]
