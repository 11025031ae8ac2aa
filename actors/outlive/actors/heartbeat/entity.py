"""The heartbeat as an entity: its pure parts, put together for the shell."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.actors.entity import PureParts
from outlive.actors.heartbeat.commands import CallHook, Effect, Prepare
from outlive.actors.heartbeat.decide import decide
from outlive.actors.heartbeat.due import wake_at
from outlive.actors.mail import deliveries
from outlive.events import HeartbeatState, OpenEntry
from outlive.events.fires import BEGIN
from outlive.events.heartbeat import evolve
from outlive.events.ids import id_of


def outstanding(state: HeartbeatState) -> dict[Effect, None]:
    """Return what the heartbeat owes: functions that are to be called, and messages."""
    effects: dict[Effect, None] = dict.fromkeys(deliveries(state.mail))
    for number, claimed in state.claims.items():
        effects[Prepare(number, claimed.attempt)] = None
    for number, hook in state.hooks.items():
        effects[CallHook(number, hook.attempt)] = None
    return effects


def open_entry(state: HeartbeatState) -> OpenEntry | None:
    """Return the heartbeat's row of the open table; None when nothing is left to be done."""
    owes = bool(state.claims or state.hooks or state.mail.outbox)
    wake_at_ns = wake_at(state)
    if state.status == "none" or (state.over and not owes and wake_at_ns is None):
        return None
    summary = {"agent_id": state.settings.agent_id}
    if state.declared:
        summary["declared"] = state.declared
    if state.settings.hook:
        summary["hook"] = state.settings.hook
    if state.settings.tool:
        summary["tool"] = state.settings.tool
    begins = _begins(state)
    if begins:
        summary["begins"] = _encode(begins).decode()
    return OpenEntry(
        kind="heartbeat",
        status=state.status,
        wake_at_ns=wake_at_ns,
        owes=owes,
        over=state.over,
        summary=summary,
    )


def _begins(state: HeartbeatState) -> list[str]:
    """Return the runs that will begin, or are told of, as soon as nothing is in between."""
    claimed = [claim.run_id for claim in state.claims.values() if claim.run_id]
    letters = [int(one.about) for one in state.mail.outbox.values() if one.subject == BEGIN]
    return claimed + [id_of(state.going[fire].stream) for fire in letters if fire in state.going]


_encode: Final = msgspec.json.Encoder().encode
HEARTBEAT: Final = PureParts(
    initial=HeartbeatState(),
    decide=decide,
    evolve=evolve,
    outstanding=outstanding,
    open_entry=open_entry,
    edition=1,
    lasts=True,
)
