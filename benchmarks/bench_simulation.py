"""How long does a week take that is simulated?

A hundred agents begin a run each hour, for a week: 16,800 runs of one model call, on a
simulated disk and clock. Each run is 2 commits and 4 events, written, hashed and folded as for
real; the runs view is kept. Starts are awaited, results are not. A simulation holds its log in
memory and ends with a look whether any run was left in between.

With invariants, everything that must hold is checked after each step of the event loop: that
is measured over a part of a day, and told as what a week would take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import Report, Row, Target, finish, middle, options, report, take_turns
from outlive.actors import Agent, EchoModel
from outlive.testing import Client, Simulation

_WEEK_H: Final = 168
_COMMITS_A_RUN: Final = 2


class Sizes(msgspec.Struct, frozen=True):
    """How many agents, and for how many hours, without and with invariants."""

    agents: int = 100
    hours: int = _WEEK_H
    watched_hours: int = 3


QUICK: Final = Sizes(hours=24, watched_hours=1)


def simulate(agents: int, hours: int, *, invariants: bool) -> tuple[float, float]:
    """Simulate so many hours; return the seconds it took, and the loop's steps for each run."""
    echoes = [Agent(f"agent-{number}", model=EchoModel()) for number in range(agents)]

    async def begin(client: Client) -> None:
        await asyncio.gather(*(client.start(agent.id, "what is new?") for agent in echoes))

    started_ns = time.perf_counter_ns()
    with Simulation(echoes, invariants=invariants) as simulation:
        for _ in range(hours):
            simulation.drive(begin(simulation.client))
            simulation.advance("1h")
        simulation.run_until_idle()
        assert simulation.disk.store.head == _COMMITS_A_RUN * agents * hours
        steps = simulation.loop.steps
    return (time.perf_counter_ns() - started_ns) / 1e9, steps / (agents * hours)


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure with and without invariants. Nothing is written to `folder`."""
    steps: dict[bool, float] = {}

    def side(hours: int, *, invariants: bool) -> float:
        took_s, steps[invariants] = simulate(sizes.agents, hours, invariants=invariants)
        return took_s

    bare, watched = take_turns(
        rounds,
        lambda: side(sizes.hours, invariants=False),
        lambda: side(sizes.watched_hours, invariants=True),
    )

    def row(hours: int, took_s: float, *, invariants: bool) -> Row:
        runs = sizes.agents * hours
        return {
            "invariants": "checked" if invariants else "off",
            "agents": sizes.agents,
            "hours": hours,
            "runs": runs,
            "s": took_s,
            "us a run": took_s / runs * 1e6,
            "steps a run": steps[invariants],
            "s a week": took_s / hours * _WEEK_H,
        }

    rows = [
        row(sizes.hours, middle(bare), invariants=False),
        row(sizes.watched_hours, middle(watched), invariants=True),
    ]
    target = Target(
        what=f"a simulated week: {sizes.agents} agents, a run an hour",
        unit="s",
        measured=middle(bare) / sizes.hours * _WEEK_H,
        target=5.0,
        aim=3.0,
    )
    return report(
        "simulation",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"simulated": rows},
        targets=[target],
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (1 if given.quick else 5)), given)


if __name__ == "__main__":
    main()
