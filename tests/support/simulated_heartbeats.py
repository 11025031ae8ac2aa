"""Heartbeats of a simulation: one is created, and what became of its instants is looked at."""

from __future__ import annotations

from typing import Any

from outlive.projections import FireInfo, HeartbeatInfo
from outlive.testing import Simulation


def create(sim: Simulation, **fields: Any) -> HeartbeatInfo:
    """Create the heartbeat `h`: each minute, unless something else is said."""
    said: dict[str, Any] = {"id": "h", "agent_id": "research", "prompt": "p", "every": 60}
    said |= fields
    return sim.run(lambda rt: rt.heartbeats.create(**said))


def fires(sim: Simulation, id: str = "h", **asked: Any) -> list[FireInfo]:
    """Return the decisions of a heartbeat, the first ones first."""
    return list(sim.run(lambda rt: rt.heartbeats.fires(id, **asked)).fires)[::-1]
