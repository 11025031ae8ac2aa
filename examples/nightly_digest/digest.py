"""A digest of the night's tickets, each morning at seven, and only when there are any.

`python examples/nightly_digest/digest.py` plays a week of it in a moment, on virtual time: over a
weekend without tickets, and with a process that dies in the middle of a fire.
"""

from __future__ import annotations

from datetime import UTC, datetime

from outlive.actors import (
    SKIP,
    Agent,
    Heartbeat,
    HeartbeatContext,
    HeartbeatHooks,
    ModelRequest,
    Runtime,
    ScriptedModel,
    Turn,
)
from outlive.testing import Simulation, World

QUIET = ("Sat", "Sun")
MONDAY = datetime(2030, 1, 7, tzinfo=UTC)


def sums_up(request: ModelRequest) -> Turn:
    """Stand in for a model: say again what it was asked."""
    return Turn(f"Digest: {request.messages[-1].text}")


def agents(_: World) -> list[Agent]:
    """Return what a process registers."""
    return [Agent("digest", model=ScriptedModel(sums_up))]


def hooks(world: World) -> HeartbeatHooks:
    """Return the gate before the model, and who sends the digest when it is there."""

    def prepare(context: HeartbeatContext) -> object:
        day = f"{context.trigger.due_at:%a}"
        return SKIP if day in QUIET else {"prompt": f"{day}: 3 tickets"}

    def on_finish(context: HeartbeatContext) -> None:
        # At least once: whoever receives it knows a repeat by the id.
        world.record("mail", context.trigger.id)

    return HeartbeatHooks(prepare=prepare, on_finish=on_finish)


NIGHTLY = Heartbeat(
    "nightly digest", agent_id="digest", cron="0 7 * * *", timezone="UTC", prompt="What is new?"
)


async def decisions(rt: Runtime) -> list[str]:
    """Return what has become of each morning."""
    page = await rt.heartbeats.fires("nightly digest")
    return [
        f"{fire.due_at:%a %d} {fire.decision} {fire.outcome or fire.reason}".strip()
        for fire in reversed(page.fires)
    ]


def play() -> list[str]:
    """Play a week, and return what has become of its mornings."""
    with Simulation(
        agents, heartbeats=[NIGHTLY], heartbeat_hooks=hooks, start=MONDAY, invariants=False
    ) as sim:
        sim.advance("1d")
        sim.advance("7h")  # Tuesday, seven o'clock
        sim.crash()  # in the middle of it
        sim.advance("6d")
        return sim.run(decisions)


def main() -> None:
    """Print them."""
    print(*play(), sep="\n")


if __name__ == "__main__":
    main()
