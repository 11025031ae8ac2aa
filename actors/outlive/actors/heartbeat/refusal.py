"""What a heartbeat is told when what it fires is refused."""

from __future__ import annotations

from outlive.actors.heartbeat.commands import RefuseFire
from outlive.actors.mail import Deliver
from outlive.actors.run.model_call import cut
from outlive.actors.surroundings import Surroundings
from outlive.events import Failure, OutliveError, RunExists, TaskExists


def refusal(message: Deliver, number: int, all: Surroundings, error: OutliveError) -> RefuseFire:
    """Return the command that records it."""
    taken = isinstance(error, RunExists | TaskExists)
    why = "there is another one of this id" if taken else str(error)
    return RefuseFire(
        fire=number,
        sequence=message.sequence,
        error=Failure(kind="refused", message=cut(f"{message.to!r} could not begin: {why}")),
        now_ns=all.clock.now_ns(),
        hooks=all.hooks_at_hand,
    )
