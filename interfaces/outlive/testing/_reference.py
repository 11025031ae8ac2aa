"""The reference model of an `AgentMachine`: what was wished, what was told, what must come of it.

What a run must come to is found by playing it alone, in a simulation of its own in which
nothing goes wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from outlive.actors import Agent, BackgroundTasks, UntilIdle
from outlive.actors.sub_agents import with_sub_agents
from outlive.events import (
    Event,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    StreamId,
    TaskRequested,
)
from outlive.events.ids import id_of, kind_of
from outlive.projections import RunResult, TaskInfo
from outlive.testing._outcome import check_observed
from outlive.testing._reference_tasks import (
    Judge,
    KnownErrand,
    check_tasks,
    tasks_of,
    without_the_instants,
)
from outlive.testing._retold import Retold, say_once_it_is_there
from outlive.testing._retold_task import RetoldTask
from outlive.testing._said import Hearing, RunHearing, Said, TaskHearing
from outlive.testing._simulation.client import Client
from outlive.testing._simulation.simulation import Agents, Simulation
from outlive.testing._world import World

Effects = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Alone:
    """What a run comes to when it is alone and nothing goes wrong."""

    result: RunResult | None
    """None where the run was cancelled: alone it may wait for ever for what nobody has said. None
    of a task that no run has asked for."""
    effects: Effects
    tasks: Mapping[str, TaskInfo]


@dataclass
class KnownRun:
    """A run that was asked for, and what clients were told of it."""

    run_id: str
    agent: str
    input: str
    starting: asyncio.Task[None]
    until_idle: bool | UntilIdle = False
    waiting: list[asyncio.Task[RunResult]] = field(default_factory=list[asyncio.Task[RunResult]])
    others: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    @property
    def acknowledged(self) -> bool:
        """Whether its start was."""
        return self.starting.done() and not self.starting.cancelled()

    @property
    def tasks(self) -> list[asyncio.Task[None] | asyncio.Task[RunResult]]:
        """All that clients do with it."""
        return [self.starting, *self.waiting, *self.others]

    @property
    def results(self) -> list[RunResult]:
        """What clients were told that it came to."""
        return [task.result() for task in self.waiting if task.done()]


class Reference:
    """All runs of one machine."""

    def __init__(self, agents: Agents, background_tasks: BackgroundTasks | None = None) -> None:
        self.runs: dict[str, KnownRun] = {}
        self.errands: list[KnownErrand] = []
        self.others: list[asyncio.Task[None]] = []
        """What clients do with errands."""
        self._agents = agents
        self._background_tasks = background_tasks
        self._alone: dict[tuple[object, ...], Alone] = {}
        self._by_id: dict[str, Agent] | None = None
        self.said: list[Said] = []
        """What people have said, and were told."""
        self._looked_at = 0  # of them
        self.begins_others = False
        """Whether there are runs besides: on threads, or of heartbeats."""

    def alone(self, run: KnownRun, said: Retold) -> Alone:
        """Return what a run comes to when nothing goes wrong and people say the same to it."""
        key = (run.run_id, run.agent, run.input, run.until_idle, said.key, said.cancelled)

        async def start(client: Client) -> str:
            return await client.start(
                run.agent, run.input, run_id=run.run_id, until_idle=run.until_idle
            )

        return self._play_alone(
            key, start, said.say_again, result_of="" if said.cancelled else run.run_id
        )

    def errand_alone(self, errand: KnownErrand, said: RetoldTask) -> Alone:
        """Return what a task comes to when nothing goes wrong and people say the same to it."""

        def say_again(client: Client) -> Coroutine[Any, Any, None]:
            return say_once_it_is_there(client, partial(said.say_again, client))

        return self._play_alone((errand.key, said.key), partial(ask_for, errand), say_again)

    def _play_alone(
        self,
        key: tuple[object, ...],
        start: Callable[[Client], Coroutine[Any, Any, str]],
        say_again: Callable[[Client], Coroutine[Any, Any, None]],
        *,
        result_of: str = "",
    ) -> Alone:
        found = self._alone.get(key)
        if found is None:
            with Simulation(
                self._agents, background_tasks=self._background_tasks, invariants=False
            ) as simulation:
                simulation.drive(start(simulation.client))
                people = simulation.spawn(say_again(simulation.client))
                simulation.run_until_idle()
                if people.done():
                    people.result()
                result = simulation.result(result_of) if result_of else None
                ledger = simulation.world.ledger
                effects = Counter((entry.name, entry.key) for entry in ledger)
                tasks = tasks_of(simulation)
            found = self._alone[key] = Alone(result, effects, tasks)
        return found

    def check_told(self, simulation: Simulation) -> None:
        """What clients were told is in the log, and clients were told the same.

        Raises:
            AssertionError: it is not.
        """
        for run in self.runs.values():
            if run.acknowledged:
                events = simulation.events(run.run_id)
                first = events[0] if events else None
                assert isinstance(first, RunStarted), (
                    f"the start of {run.run_id} was acknowledged, and the log has {first}"
                )
                assert (first.agent_id, first.input) == (run.agent, run.input), (
                    f"{run.run_id} was started with {run.agent!r} and {run.input!r}, "
                    f"the log has {first}"
                )
            for task in run.tasks:
                if task.done():
                    task.result()
            results = list(map(self._at_rest(simulation, run.run_id), run.results))
            assert all(result == results[0] for result in results), (
                f"{run.run_id} came to several results: {results}"
            )
        for errand in self.errands:
            errand.check_told(simulation)
        for task in self.others:
            if task.done():
                task.result()
        for observed in simulation.acknowledged.observed:
            check_observed(simulation, observed)
        self.check_said(simulation, self.said[self._looked_at :])
        self._looked_at = len(self.said)

    def forget_what_was_told(self, simulation: Simulation) -> None:
        """All clients are gone, and the log may not have what they were told."""
        for run in self.runs.values():
            for task in run.tasks:
                task.cancel()
            run.waiting.clear()
            run.others.clear()
        for task in self.others:
            task.cancel()
        for errand in self.errands:
            if errand.asking is not None:
                errand.asking.cancel()
        self.others.clear()
        simulation.acknowledged.observed.clear()
        self.said.clear()
        self._looked_at = 0

    def check_said(self, simulation: Simulation, said: Sequence[Said]) -> None:
        """What people were told of what they have said is what came of it.

        Raises:
            AssertionError: it is not.
        """
        if said and self._by_id is None:
            made = self._agents(World()) if callable(self._agents) else self._agents
            self._by_id = with_sub_agents(made)
        hearings: dict[StreamId, Hearing] = {}
        for each in said:
            hearing = hearings.get(each.stream)
            if hearing is None:
                hearing = hearings[each.stream] = self._hearing(simulation, each)
            problem = hearing.problem(each)
            assert not problem, f"{kind_of(each.stream)} {each.id}: {problem}"

    def _hearing(self, simulation: Simulation, said: Said) -> Hearing:
        assert self._by_id is not None
        if kind_of(said.stream) == "task":
            return TaskHearing(said.id, simulation.task_events(said.id), self._by_id)
        return RunHearing(said.id, simulation.events(said.id), self._by_id)

    def check_effects_so_far(
        self, simulation: Simulation, effects: Effects, at_most_once: Collection[str]
    ) -> None:
        """Nothing has happened more often than it may, and than people wanted.

        Raises:
            AssertionError: it has.
        """
        often = {each: count for each, count in effects.items() if count > 1}
        if not any(name in at_most_once for name, _ in often):
            return
        log_id = simulation.disk.store.log_id
        again: Counter[str] = Counter()  # how often people wanted what is done under a key
        for run_id in self.runs:
            said = self.retold(simulation, run_id)
            for key, count in said.again(log_id):
                again[key] += count
        for errand in self.errands:
            if errand.task_id:
                task = RetoldTask(errand.task_id, simulation.task_events(errand.task_id))
                again[task.idempotency_key(log_id)] += task.again
        for (name, key), count in often.items():
            # Another key is that of a step, or the tool's own: of whichever call.
            most = 1 + (again[key] if key in again else again.total())
            assert name not in at_most_once or count <= most, (
                f"effect {name!r} happened {count} times under key {key!r}"
            )

    @staticmethod
    def retold(simulation: Simulation, run_id: str) -> Retold:
        """Return what people have said to a run, and to those that work for it."""
        runs: dict[str, list[Event]] = {run_id: []}
        tasks: dict[str, list[Event]] = {}
        for stream in simulation.disk.store.index:
            id = id_of(stream)
            if id == run_id or id.startswith(f"{run_id}:"):
                if kind_of(stream) == "task":
                    tasks[id] = simulation.task_events(id)
                else:
                    runs[id] = simulation.events(id)
        return Retold(run_id, runs, tasks)

    def _at_rest(self, simulation: Simulation, run_id: str) -> Callable[[RunResult], RunResult]:
        """Return what is compared of a run's results."""
        if any(isinstance(event, TaskRequested) for event in simulation.events(run_id)):
            return without_the_instants
        return _as_it_is

    def check_over(
        self,
        simulation: Simulation,
        *,
        judge: Callable[[RunResult, RunResult], None],
        judge_task: Judge,
        effects: Effects,
        at_most_once: Collection[str],
    ) -> None:
        """Every run has come to its end, as it does alone, and clients were told so.

        Raises:
            AssertionError: one has not.
        """
        wanted: set[tuple[str, str]] = set()
        possible: set[tuple[str, str]] = set()
        self.check_said(simulation, self.said)
        speaking = [task for task in self.others if not task.done()]
        assert not speaking, f"all is over, and people are not answered: {speaking}"
        log_id, tasks = simulation.disk.store.log_id, tasks_of(simulation)
        for run in self.runs.values():
            left = [task for task in run.tasks if not task.done()]
            assert not left, f"{run.run_id} is over, and clients still wait: {left}"
            at_rest = self._at_rest(simulation, run.run_id)
            result = at_rest(simulation.result(run.run_id))
            for told in map(at_rest, run.results):
                assert told == result, f"{run.run_id} was told to be {told}, and is {result}"
            said = self.retold(simulation, run.run_id)
            alone = self.alone(run, said)
            possible.update(alone.effects)
            if alone.result is None:
                assert result.status == "cancelled", f"{run.run_id} was cancelled, and is {result}"
                continue
            if not said.disturbed:
                judge(said.with_what_people_vouch_for(at_rest(alone.result), result), result)
            check_tasks(said.tasks, alone.tasks, tasks, judge=judge_task, disturbed=said.disturbed)
            wanted.update(said.required(log_id, alone.effects))
        for errand in self.errands:
            assert errand.task_id, f"nobody has answered who asked for {errand.tool}"
            task = RetoldTask(errand.task_id, simulation.task_events(errand.task_id))
            alone = self.errand_alone(errand, task)
            possible.update(alone.effects)
            check_tasks({task.task_id: task}, alone.tasks, tasks, judge=judge_task)
            if not task.may_not_have_happened:
                wanted.update(alone.effects)
        for observed in simulation.acknowledged.observed:
            last, end = observed.after + len(observed.seen), _end(simulation, observed.run_id)
            assert last >= end, (
                f"an observer of {observed.run_id} saw up to version {last}, it ended at {end}"
            )
        for name, key in effects:
            assert self.begins_others or (name, key) in possible, (
                f"effect {name!r} happened under key {key!r}, which no run has alone"
            )
        for name, key in wanted:
            assert (name, key) in effects or name in at_most_once, (
                f"effect {name!r} never happened under key {key!r}"
            )


def _as_it_is(result: RunResult) -> RunResult:
    return result


async def ask_for(errand: KnownErrand, client: Client) -> str:
    """Ask for a task that no model has asked for; return its id once it is acknowledged."""
    return await client.tasks.enqueue(
        errand.tool, errand.arguments, agent=errand.agent, idempotency_key=errand.key
    )


def _end(simulation: Simulation, run_id: str) -> int:
    """Return the version at which a run was over."""
    events = simulation.events(run_id)
    ends = (RunCompleted, RunFailed, RunCancelled)
    return next(n for n, event in enumerate(events, 1) if isinstance(event, ends))
