"""The crash sweep: a scenario survives a crash at each of its points, or this says where not."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final, TypeAlias, get_args

from outlive.actors import BackgroundTasks, Heartbeat, TaskHooks, Tool
from outlive.actors.run_context import EMPTY, Functions
from outlive.events import InvalidDefinition
from outlive.events.ids import id_of, kind_of
from outlive.events.lmdb_store.durability import Durability
from outlive.testing import _settings
from outlive.testing._failure import SimulationFailed, is_failure, story
from outlive.testing._outcome import (
    Outcome,
    Promise,
    check_effects,
    check_keys,
    check_told,
    same,
)
from outlive.testing._simulation.client import Client
from outlive.testing._simulation.points import Fate, Point, check_names
from outlive.testing._simulation.simulation import Agents, Hooks, Simulation
from outlive.testing._world import World

Scenario: TypeAlias = Callable[[Client], Awaitable[object]]
"""What is done from outside. It may be called many times, each time in a new simulation."""


class NotAScenario(TypeError):
    """What should be a scenario is something else."""

    def __init__(self, returned: object) -> None:
        super().__init__(f"a scenario is an async function of a Client, it returned {returned!r}")


_MOST_POINTS: Final = 10_000
"""More of them could not be crashed at one by one; so many are a scenario that has no end."""

_RECOVERY: Final = 6
"""How many of the points after a crash are tried in turn for a second one."""

_LATE: Final = 5.0
"""Virtual seconds by which effects may be late in another order."""


@dataclass(kw_only=True)
class Sweep:
    """What a crash sweep has done. `str(sweep)` is a table of its points."""

    points: list[Point]
    runs: Counter[str] = field(default_factory=Counter[str])
    """How many simulations, by what was done: calm, orders, kill, freeze, second kill, ..."""
    deaths: int = 0

    @property
    def simulations(self) -> int:
        """How many simulations there were."""
        return self.runs.total()

    def __str__(self) -> str:
        """Return the table."""
        kinds = Counter(_kind(point) for point in self.points)
        lines = [f"{len(self.points)} points, {self.simulations} simulations, {self.deaths} deaths"]
        lines += [f"  {count:4}  {kind}" for kind, count in sorted(kinds.items())]
        lines += [f"  {count:4}  simulations: {name}" for name, count in self.runs.items()]
        return "\n".join(lines)


def assert_survives_crashes(
    scenario: Scenario,
    agents: Agents,
    *,
    deps: Callable[[World], object] | None = None,
    tools: Sequence[Tool[..., Any] | Callable[..., Any]] = (),
    functions: Functions = EMPTY,
    background_tasks: BackgroundTasks | None = None,
    task_hooks: TaskHooks | None = None,
    heartbeats: Sequence[Heartbeat] = (),
    heartbeat_hooks: Hooks = None,
    seed: int = 0,
    orders: int = 5,
    fates: Sequence[Fate] = ("kill", "freeze"),
    second_crashes: int = 3,
    at_most_once: Collection[str] = (),
    promise: Promise | None = None,
    crash_at: Mapping[int, Fate] | None = None,
    invariants: bool = True,
    durability: Durability = "sync",
    max_recoveries: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Sweep:
    """Crash a scenario at every point, and again while it recovers, and compare what comes out.

    It is run undisturbed, to learn its points: before and after every commit, every effect in
    the `World`, every model call and each part of an answer; and once more, which must come to
    the same log, byte for byte. Then under other orders of what goes on at the same time, with
    model calls and tool calls that begin late. Then once for each point and fate, the process
    dying just there (`kill`), or stopping and waking up after another has taken over (`freeze`);
    and some more times with a second death during the recovery.

    Each time must come to the same: what `scenario` returns, each run's result (token counts
    aside), the end of each background task, and nothing left in between. What clients were told
    must be in the log, and the invariants hold after every step. An effect in the `World` happens
    as often as promised: at least once where it did without a crash, never under another key,
    once more at most for each death; those whose names are in `at_most_once` never twice under
    one key.

    Args:
        scenario: an async function of a `Client`: it starts runs and waits for them.
        agents: as for `Simulation`; best a function, which makes them anew for each process.
        deps: as for `Simulation`.
        tools, functions, background_tasks, task_hooks, heartbeats: as for `Runtime`.
        heartbeat_hooks: as for `Simulation`.
        seed: of all that is left to chance.
        orders: other orders to try without a crash.
        fates: how a process ends at each point.
        second_crashes: how often, for each point, the process dies once more while it recovers:
            at one of the points that follow, for each point at others.
        at_most_once: names of effects that must not be repeated, as for tools with
            `in_doubt="fail"`. Their runs may come out differently, so say `promise` as well.
        promise: judges results in the place of comparing them, and effects that do not happen
            without a crash.
        crash_at: play it just once more, with these crashes, in the place of all of them.
        invariants: check them after every step.
        durability: see `Simulation`.
        max_recoveries: see `Runtime`; None here, as crashes are what this is about.
        progress: told in a line what is being done.

    Returns:
        What was done.

    Raises:
        SimulationFailed: it does not survive. Says the seed, the point, the events up to it,
            and how to repeat it.
        ValueError: the scenario has no points: it does nothing.
        InvalidDefinition, TypeError: an argument that cannot be.
    """
    _check(orders=orders, fates=fates, second_crashes=second_crashes)
    at_most_once = check_names("at_most_once", at_most_once)
    one_seed, asked_for = _settings.seed(), _settings.crash_at()
    seed, one_crash = seed if one_seed is None else one_seed, asked_for or crash_at
    judge = promise or same
    tell = progress or _tell_nobody

    def simulate(crash_at: Mapping[int, Fate], order: int = 0) -> tuple[Simulation, Outcome]:
        simulation = Simulation(
            agents,
            deps=deps,
            tools=tools,
            functions=functions,
            background_tasks=background_tasks,
            task_hooks=task_hooks,
            heartbeats=heartbeats,
            heartbeat_hooks=heartbeat_hooks,
            seed=seed,
            order=order,
            late=_LATE if order else 0.0,
            durability=durability,
            max_recoveries=max_recoveries,
            at_most_once=at_most_once,
            invariants=invariants,
            crash_at=crash_at,
        )
        simulation.points.most = _MOST_POINTS
        try:
            with closing(simulation):
                outcome = _outcome(scenario, simulation)
                check_told(simulation)
            simulation.check_unhandled()
        except BaseException as error:
            if isinstance(error, NotAScenario) or not is_failure(error):
                raise
            raise SimulationFailed(simulation, story(error)) from error
        return simulation, outcome

    def attempt(crash_at: Mapping[int, Fate], order: int = 0) -> list[Point]:
        simulation, outcome = simulate(crash_at, order)
        passed = simulation.points.passed
        sweep.deaths += simulation.deaths
        try:
            judge(calm_outcome, outcome)
            check_effects(
                calm_outcome,
                outcome,
                at_most_once=at_most_once,
                deaths=sum(number <= len(passed) for number in crash_at),
                judged=promise is not None,
            )
        except AssertionError as error:
            raise SimulationFailed(simulation, story(error)) from error
        try:
            check_keys(calm_outcome, outcome)
        except AssertionError as error:
            odd_keys.append(SimulationFailed(simulation, story(error)))
        return passed

    calm, calm_outcome = simulate({})
    sweep = Sweep(points=calm.points.passed)
    odd_keys: list[SimulationFailed] = []  # Told in the end: another point may show what they do.
    sweep.runs["calm"] = 1
    if not sweep.points:
        raise ValueError("the scenario has no point at which it could crash: it does nothing")
    if one_crash is not None:
        passed = attempt(one_crash)
        if one_crash is asked_for and max(one_crash) > len(passed):
            warnings.warn(
                f"point {max(one_crash)} is not reached, there are {len(passed)}: is it another "
                "test, another seed, or has something changed?",
                stacklevel=2,
            )
        sweep.runs["chosen crashes"] = 1
        return _unless(odd_keys, sweep)
    tell("the same again")
    again, _ = simulate({})
    sweep.runs["the same again"] = 1
    if again.log_bytes != calm.log_bytes:
        raise SimulationFailed(again, _logs_apart(calm, again))
    if _effects(again) != _effects(calm):
        raise SimulationFailed(again, _effects_apart(calm, again))
    for order in range(1, orders + 1):
        tell(f"order {order} of {orders}")
        attempt({}, order)
        sweep.runs["another order"] += 1
    crashes: list[tuple[Fate, Point]] = [(fate, point) for fate in fates for point in sweep.points]
    recoveries: list[int] = []  # how many points follow each of them
    for fate, point in crashes:
        tell(f"{fate} at {point} of {len(sweep.points)}")
        recoveries.append(len(attempt({point.number: fate})) - point.number)
        sweep.runs[fate] += 1
    # After that, so that what is found is shown with one crash if one is enough.
    for (fate, point), later in zip(crashes, recoveries, strict=True):
        for ahead in _ahead(point.number, min(second_crashes, later), later):
            tell(f"{fate} at {point} of {len(sweep.points)}, and a kill {ahead} points later")
            attempt({point.number: fate, point.number + ahead: "kill"})
            sweep.runs[f"{fate}, and a kill in the recovery"] += 1
    return _unless(odd_keys, sweep)


def _ahead(number: int, crashes: int, later: int) -> list[int]:
    """Return how many points after point `number` the process dies once more."""
    most = min(max(_RECOVERY, crashes), later)
    return sorted((number * crashes + n) % most + 1 for n in range(crashes))


def _unless(failed: Sequence[SimulationFailed], sweep: Sweep) -> Sweep:
    if failed:
        raise failed[0]
    return sweep


def _check(*, orders: int, fates: Sequence[Fate], second_crashes: int) -> None:
    """Refuse what would crash nothing, or something else than was meant."""
    for name, count in (("orders", orders), ("second_crashes", second_crashes)):
        if type(count) is not int or count < 0:
            raise InvalidDefinition(f"{name} is 0 or more, not {count!r}")
    if isinstance(fates, str) or not fates or not {*fates} <= {*get_args(Fate)}:
        raise InvalidDefinition(f"fates are some of {[*get_args(Fate)]}, not {fates!r}")


def crash_points(
    scenario: Scenario,
    agents: Agents,
    *,
    deps: Callable[[World], object] | None = None,
    tools: Sequence[Tool[..., Any] | Callable[..., Any]] = (),
    functions: Functions = EMPTY,
    background_tasks: BackgroundTasks | None = None,
    task_hooks: TaskHooks | None = None,
    heartbeats: Sequence[Heartbeat] = (),
    heartbeat_hooks: Hooks = None,
    seed: int = 0,
) -> list[Point]:
    """Return the points of a scenario, in order: for `Simulation(crash_at={number: "kill"})`."""
    with Simulation(
        agents,
        deps=deps,
        tools=tools,
        functions=functions,
        background_tasks=background_tasks,
        task_hooks=task_hooks,
        heartbeats=heartbeats,
        heartbeat_hooks=heartbeat_hooks,
        seed=seed,
    ) as simulation:
        _outcome(scenario, simulation)
    return simulation.points.passed


def _logs_apart(one: Simulation, other: Simulation) -> str:
    """Say where the logs of two simulations that should be the same part."""
    stores = one.disk.store, other.disk.store
    records = [[s.record(at) for at, data in enumerate(s.records, 1) if data] for s in stores]
    for first, second in zip_longest(*records):
        if first != second:
            shown = [None if it is None else (it.stream, *it.events) for it in (first, second)]
            return (
                f"the same seed came to another log: once it has {shown[0]}, and then {shown[1]}: "
                "something looks at what is not simulated, as the machine's clock or its chance"
            )
    return "the same seed came to another log"


def _effects(simulation: Simulation) -> list[tuple[str, str]]:
    return [(entry.name, entry.key) for entry in simulation.world.ledger]


def _effects_apart(one: Simulation, other: Simulation) -> str:
    """Say in which effect two simulations part that should be the same."""
    for first, second in zip_longest(_effects(one), _effects(other)):
        if first != second:
            return (
                f"the same seed came to another effect: once to {first} (name and key), and then "
                f"to {second}: something looks at what is not simulated"
            )
    raise AssertionError("they are the same")


def _tell_nobody(_: str) -> None:
    """Say nothing."""


def _outcome(scenario: Scenario, simulation: Simulation) -> Outcome:
    async def play() -> object:
        begun = scenario(simulation.client)
        if not isinstance(begun, Awaitable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise NotAScenario(begun)
        return await begun

    returned = simulation.drive(play())
    simulation.run_until_idle()
    runtime = simulation.runtime
    streams = list(simulation.disk.store.index)
    runs = [id_of(stream) for stream in streams if kind_of(stream) == "run"]
    tasks = [id_of(stream) for stream in streams if kind_of(stream) == "task"]
    results = {id: simulation.drive(runtime.result(id)) for id in runs}
    ledger = simulation.world.ledger
    return Outcome(
        returned=returned,
        results=results,
        effects=Counter((entry.name, entry.key) for entry in ledger),
        tasks={id: simulation.drive(runtime.tasks.get(id)) for id in tasks},
    )


def _kind(point: Point) -> str:
    what = point.what
    if what.startswith("commit"):
        return f"{point.when} a commit"
    if what.startswith("effect"):
        return f"{point.when} {what}"
    return f"{point.when} a model call" if point.when == "before" else "after a part of an answer"
