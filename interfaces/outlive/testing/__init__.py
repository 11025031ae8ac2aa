"""The test kit: what proves that agents outlive their process. Needs the extra `testing`.

What needs hypothesis or pytest is in submodules and says how to install them.
"""

from typing import TYPE_CHECKING

from outlive.testing._clock import VirtualClock
from outlive.testing._deciding import Given, When, given
from outlive.testing._factories import (
    RuntimeFactory,
    RuntimeOptions,
    ScriptedModelFactory,
    SimulationFactory,
    SimulationOptions,
)
from outlive.testing._failure import SimulationFailed
from outlive.testing._invariants import InvariantViolated
from outlive.testing._outcome import Outcome, Promise
from outlive.testing._simulation.client import Client
from outlive.testing._simulation.disk import Disk
from outlive.testing._simulation.loop import Stuck
from outlive.testing._simulation.points import Fate, Point
from outlive.testing._simulation.process import NotSimulable, ProcessDied
from outlive.testing._simulation.simulation import Agents, Simulation
from outlive.testing._stored import fold, stored
from outlive.testing._sweep import (
    Scenario,
    Sweep,
    assert_survives_crashes,
    crash_points,
)
from outlive.testing._world import Happened, World

if TYPE_CHECKING:
    from outlive.testing.machine import AgentMachine as AgentMachine

del TYPE_CHECKING  # It is not of this package.

__all__ = [
    "Agents",
    "Client",
    "Disk",
    "Fate",
    "Given",
    "Happened",
    "InvariantViolated",
    "NotSimulable",
    "Outcome",
    "Point",
    "ProcessDied",
    "Promise",
    "RuntimeFactory",
    "RuntimeOptions",
    "Scenario",
    "ScriptedModelFactory",
    "Simulation",
    "SimulationFactory",
    "SimulationFailed",
    "SimulationOptions",
    "Stuck",
    "Sweep",
    "VirtualClock",
    "When",
    "World",
    "assert_survives_crashes",
    "crash_points",
    "fold",
    "given",
    "stored",
]


def __getattr__(name: str) -> object:
    """Import what needs hypothesis once it is asked for; so it is not in `__all__`."""
    if name == "AgentMachine":
        from outlive.testing.machine import AgentMachine

        return AgentMachine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
