"""The reference model of an `AgentMachine`: what was wished, what was told, what must come of it.

What a run must come to is found by playing it alone, in a simulation of its own in which
nothing goes wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from outlive.events import RunCompleted, RunFailed, RunStarted
from outlive.projections import RunResult
from outlive.testing._outcome import check_observed
from outlive.testing._simulation.simulation import Agents, Simulation

Effects = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Alone:
    """What a run comes to when it is alone and nothing goes wrong."""

    result: RunResult
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

    def __init__(self, agents: Agents) -> None:
        self.runs: dict[str, KnownRun] = {}
        self._agents = agents
        self._alone: dict[tuple[str, str, str], Alone] = {}

    def alone(self, run: KnownRun) -> Alone:
        """Return what a run comes to when nothing goes wrong."""
        key = (run.run_id, run.agent, run.input)
        found = self._alone.get(key)
        if found is None:
            with Simulation(self._agents, invariants=False) as simulation:
                simulation.start(run.agent, run.input, run_id=run.run_id)
                simulation.run_until_idle()
                result = simulation.result(run.run_id)
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

    def check_effects_so_far(self, effects: Effects, at_most_once: Collection[str]) -> None:
        """Nothing has happened more often than it may.

        Raises:
            AssertionError: it has.
        """
        for (name, key), count in effects.items():
            assert name not in at_most_once or count <= 1, (
                f"effect {name!r} happened {count} times under key {key!r}"
            )

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
        wanted: Counter[tuple[str, str]] = Counter()
        for run in self.runs.values():
            left = [task for task in run.tasks if not task.done()]
            assert not left, f"{run.run_id} is over, and clients still wait: {left}"
            result = simulation.result(run.run_id)
            for told in run.results:
                assert told == result, f"{run.run_id} was told to be {told}, and is {result}"
            alone = self.alone(run)
            judge(alone.result, result)
            wanted.update(alone.effects)
        for observed in simulation.acknowledged.observed:
            last, end = observed.after + len(observed.seen), _end(simulation, observed.run_id)
            assert last >= end, (
                f"an observer of {observed.run_id} saw up to version {last}, it ended at {end}"
            )
        for name, key in effects:
            assert (name, key) in wanted, (
                f"effect {name!r} happened under key {key!r}, which no run has alone"
            )
        for name, key in wanted:
            assert (name, key) in effects or name in at_most_once, (
                f"effect {name!r} never happened under key {key!r}"
            )


def _end(simulation: Simulation, run_id: str) -> int:
    """Return the version at which a run was over."""
    events = simulation.events(run_id)
    ends = (n for n, event in enumerate(events, 1) if isinstance(event, RunCompleted | RunFailed))
    return next(ends)
