"""The reference model of an `AgentMachine`: what was wished, what was told, what must come of it.

What a run must come to is found by playing it alone, in a simulation of its own in which
nothing goes wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from outlive.actors import Agent
from outlive.actors.sub_agents import with_sub_agents
from outlive.events import RunCancelled, RunCompleted, RunFailed, RunStarted
from outlive.events.ids import id_of
from outlive.projections import RunResult
from outlive.testing._outcome import check_observed
from outlive.testing._retold import Retold
from outlive.testing._said import Hearing, Said
from outlive.testing._simulation.simulation import Agents, Simulation
from outlive.testing._world import World

Effects = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Alone:
    """What a run comes to when it is alone and nothing goes wrong."""

    result: RunResult | None
    """None where the run was cancelled: alone it may wait for ever for what nobody has said."""
    effects: Effects


@dataclass
class KnownRun:
    """A run that was asked for, and what clients were told of it."""

    run_id: str
    agent: str
    input: str
    starting: asyncio.Task[None]
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

    def __init__(self, agents: Agents, answer_tasks: Callable[[Simulation], None]) -> None:
        """`answer_tasks` has people answer what background tasks ask, until they ask no more."""
        self.runs: dict[str, KnownRun] = {}
        self._agents = agents
        self._answer_tasks = answer_tasks
        self._alone: dict[tuple[str, str, str, str, bool], Alone] = {}
        self._by_id: dict[str, Agent] | None = None
        self.said: list[Said] = []
        """What people have said, and were told."""
        self._looked_at = 0  # of them

    def alone(self, run: KnownRun, said: Retold) -> Alone:
        """Return what a run comes to when nothing goes wrong and people say the same to it."""
        key = (run.run_id, run.agent, run.input, said.key, said.cancelled)
        found = self._alone.get(key)
        if found is None:
            with Simulation(self._agents, invariants=False) as simulation:
                simulation.start(run.agent, run.input, run_id=run.run_id)
                people = simulation.spawn(said.say_again(simulation.client))
                simulation.run_until_idle()
                self._answer_tasks(simulation)
                if people.done():
                    people.result()
                result = None if said.cancelled else simulation.result(run.run_id)
                ledger = simulation.world.ledger
                effects = Counter((entry.name, entry.key) for entry in ledger)
            found = self._alone[key] = Alone(result, effects)
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
            results = run.results
            assert all(result == results[0] for result in results), (
                f"{run.run_id} came to several results: {results}"
            )
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
        hearings: dict[str, Hearing] = {}
        for each in said:
            assert self._by_id is not None
            hearing = hearings.get(each.run_id)
            if hearing is None:
                events = simulation.events(each.run_id)
                hearing = hearings[each.run_id] = Hearing(each.run_id, events, self._by_id)
            problem = hearing.problem(each)
            assert not problem, f"run {each.run_id}: {problem}"

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
        again: Counter[str] = Counter()  # how often people wanted what is done under a key
        for run_id in self.runs:
            said = self.retold(simulation, run_id)
            again.update(dict(said.again(simulation.disk.store.log_id)))
        for (name, key), count in often.items():
            # Another key is that of a step, or the tool's own: of whichever call.
            most = 1 + (again[key] if key in again else again.total())
            assert name not in at_most_once or count <= most, (
                f"effect {name!r} happened {count} times under key {key!r}"
            )

    @staticmethod
    def retold(simulation: Simulation, run_id: str) -> Retold:
        """Return what people have said to a run, and to those that work for it."""
        streams = (id_of(stream) for stream in simulation.disk.store.index)
        family = (id for id in streams if id == run_id or id.startswith(f"{run_id}:"))
        return Retold(run_id, {id: simulation.events(id) for id in family})

    def check_over(
        self,
        simulation: Simulation,
        *,
        judge: Callable[[RunResult, RunResult], None],
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
        for run in self.runs.values():
            left = [task for task in run.tasks if not task.done()]
            assert not left, f"{run.run_id} is over, and clients still wait: {left}"
            result = simulation.result(run.run_id)
            for told in run.results:
                assert told == result, f"{run.run_id} was told to be {told}, and is {result}"
            said = self.retold(simulation, run.run_id)
            alone = self.alone(run, said)
            possible.update(alone.effects)
            if alone.result is None:
                assert result.status == "cancelled", f"{run.run_id} was cancelled, and is {result}"
                continue
            judge(said.with_what_people_vouch_for(alone.result, result), result)
            wanted.update(said.required(simulation.disk.store.log_id, alone.effects))
        for observed in simulation.acknowledged.observed:
            last, end = observed.after + len(observed.seen), _end(simulation, observed.run_id)
            assert last >= end, (
                f"an observer of {observed.run_id} saw up to version {last}, it ended at {end}"
            )
        for name, key in effects:
            assert (name, key) in possible, (
                f"effect {name!r} happened under key {key!r}, which no run has alone"
            )
        for name, key in wanted:
            assert (name, key) in effects or name in at_most_once, (
                f"effect {name!r} never happened under key {key!r}"
            )


def _end(simulation: Simulation, run_id: str) -> int:
    """Return the version at which a run was over."""
    events = simulation.events(run_id)
    ends = (RunCompleted, RunFailed, RunCancelled)
    return next(n for n, event in enumerate(events, 1) if isinstance(event, ends))
