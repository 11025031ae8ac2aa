"""What a run, a task or a thread and the heartbeat that has fired say to each other.

A heartbeat owes what it fires its beginning; what was fired owes the heartbeat the news how it
goes: that it waits for a person, that it goes on, that it is over; and a thread, that
the run which a fire was to begin never will. All of them are messages.
"""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events.ids import StreamId
from outlive.events.mail import Letter, Mail, post

BEGIN: Final = "begin-fire"
STOP: Final = "stop-fire"
"""The subjects of what a heartbeat says."""
FIRE_SUSPENDED: Final = "fire-suspended"
FIRE_RESUMED: Final = "fire-resumed"
FIRE_ENDED: Final = "fire-ended"
FIRE_DROPPED: Final = "fire-dropped"
FIRE_REFUSED: Final = "fire-refused"
"""The subjects of what it is told."""


class FireOf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which fire a run or a task is: the `fire`-th, from 1, of a heartbeat.

    `tools` are those of its agent that it may call; None: all.
    """

    heartbeat_id: str
    fire: int
    tools: tuple[str, ...] | None = None


def tell_heartbeat(mail: Mail, fire: FireOf | None, subject: str) -> Mail:
    """Return the mail of one that owes its heartbeat this news; of one without, as it is."""
    if fire is None:
        return mail
    to = StreamId(f"heartbeat-{fire.heartbeat_id}")
    return post(mail, Letter(to=to, subject=subject, about=str(fire.fire)))
