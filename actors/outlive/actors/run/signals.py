"""What a run does about what is said to it from outside: pure, as all of `decide`."""

from __future__ import annotations

import msgspec

from outlive.actors.run.commands import TellRun
from outlive.actors.run.going_on import Events
from outlive.actors.run.next_step import next_step
from outlive.actors.run.people import works_for
from outlive.events import RunNotFound, RunOver, RunSignalled, RunState
from outlive.events.mail import is_repeat
from outlive.events.run import evolve


def tell(state: RunState, command: TellRun) -> Events:
    """Take note: the next model call sees it. One that waits for its tasks is called at once.

    A run that is over, or works on another thread, takes no note of what a thread says: that
    sees it, and tells somebody else.

    Raises:
        RunOver, RunNotFound: somebody else says it, and nobody would read it.
    """
    if is_repeat(state.mail, command.message) or command.signal_id in state.signals:
        return ()
    if command.message is not None and not works_for(state, command.message):
        return ()
    if state.over or state.status == "none":
        if command.message is not None:
            return ()
        if state.over:
            raise RunOver(command.run_id, state.status)
        raise RunNotFound(command.run_id)
    signalled = RunSignalled(
        signal_id=command.signal_id, signal=command.signal, message=command.message
    )
    if not state.rests:
        return (signalled,)
    return (signalled, *next_step(evolve(state, signalled)))


def unread_of(state: RunState) -> str:
    """Return the ids of the signals that no model call has seen yet, as a row tells them."""
    return msgspec.json.encode(state.signals[-state.unread :]).decode()
