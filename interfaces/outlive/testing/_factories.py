"""What the pytest fixtures hand out: makers of runtimes and of models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from outlive.actors import (
    Agent,
    BackgroundTasks,
    Heartbeat,
    HeartbeatHooks,
    Ids,
    Runtime,
    ScriptedModel,
    TaskHooks,
    Tool,
    ToolCall,
    Turn,
)
from outlive.actors.run_context import Functions
from outlive.actors.seat import Role
from outlive.actors.workers.port import Workers
from outlive.events import Clock
from outlive.events.lmdb_store.durability import Durability
from outlive.projections import Projection
from outlive.testing import _settings
from outlive.testing._failure import told
from outlive.testing._simulation.points import Fate
from outlive.testing._simulation.simulation import Agents, Hooks, Simulation
from outlive.testing._world import World


class RuntimeOptions(TypedDict, total=False):
    """The options of `Runtime`, all but where it keeps its log."""

    agents: Sequence[Agent]
    tools: Sequence[Tool[..., Any] | Callable[..., Any]]
    deps: object
    functions: Functions
    background_tasks: BackgroundTasks | None
    task_hooks: TaskHooks | None
    heartbeats: Sequence[Heartbeat]
    heartbeat_hooks: HeartbeatHooks | None
    projections: Sequence[Projection]
    max_recoveries: int | None
    mailbox_limit: int
    close_timeout: float | timedelta
    clock: Clock | None
    ids: Ids | None
    executor: Executor | None
    workers: Workers | None
    role: Role
    durability: Durability
    lease: float
    save_every: int | None


class RuntimeFactory:
    """Makes runtimes: `async with runtime(agents=[...]) as rt:`. See `outlive.actors.Runtime`.

    A runtime runs on the loop on which it is entered, so it does not matter which plugin runs
    the test.
    """

    def __init__(self, folder: Path | None, clock: Clock | None) -> None:
        self._folder = folder
        self._clock = clock

    @property
    def folder(self) -> Path:
        """Where the runtimes keep their log. Raises LookupError if they keep it in memory."""
        if self._folder is None:
            raise LookupError("these runtimes have no folder: use the fixture lmdb_runtime")
        return self._folder

    def __call__(self, **options: Unpack[RuntimeOptions]) -> Runtime:
        """Return a runtime. Raises what `Runtime` raises."""
        if self._clock is not None:
            options.setdefault("clock", self._clock)
        return Runtime(self._folder, **options)


class SimulationOptions(TypedDict, total=False):
    """The options of `Simulation`."""

    seed: int
    world: World | None
    deps: Callable[[World], object] | None
    tools: Sequence[Tool[..., Any] | Callable[..., Any]]
    functions: Functions
    background_tasks: BackgroundTasks | None
    task_hooks: TaskHooks | None
    heartbeats: Sequence[Heartbeat]
    heartbeat_hooks: Hooks
    durability: Durability
    max_recoveries: int | None
    save_every: int
    at_most_once: Collection[str]
    invariants: bool
    restart_after: float
    order: int
    late: float
    start: datetime
    crash_at: Mapping[int, Fate] | None


class SimulationFactory:
    """Makes simulations: `sim = simulation(agents)`. See `Simulation`. Ends them in the end."""

    def __init__(self, *, seed: int, world: World | None) -> None:
        self._seed = seed
        self._world = world
        self._made: list[Simulation] = []

    def __call__(self, agents: Agents = (), **options: Unpack[SimulationOptions]) -> Simulation:
        """Return a simulation, with this test's seed unless another one is given."""
        options.setdefault("seed", self._seed)
        options.setdefault("crash_at", _settings.crash_at())
        if self._world is not None:
            options.setdefault("world", self._world)
        simulation = Simulation(agents, **options)
        self._made.append(simulation)
        return simulation

    def told(self) -> list[str]:
        """Return what is to be said of those that go on, in a test that has failed."""
        return [told(simulation) for simulation in self._made if not simulation.closed]

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the simulations. Raises AssertionError if something failed that nobody saw."""
        for simulation in self._made:
            simulation.close()
        for simulation in self._made:
            simulation.check_unhandled()


class ScriptedModelFactory:
    """Makes models that play a script: `scripted_model(ToolCall("look"), "It is fine.")`."""

    def __call__(self, *turns: Turn | ToolCall | str, name: str = "scripted") -> ScriptedModel:
        """Return a model that answers with these turns, one a step.

        Args:
            turns: a text is an answer, a `ToolCall` asks for one call; for anything else there
                is `Turn`.
            name: what the log calls the model.
        """
        return ScriptedModel([_turn(turn) for turn in turns], name=name)


def _turn(turn: Turn | ToolCall | str) -> Turn:
    match turn:
        case Turn():
            return turn
        case ToolCall():
            return Turn(tool_calls=[turn])
        case str():
            return Turn(turn)
