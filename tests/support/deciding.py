"""Given events, when a command comes, then events (or a refusal): deciding as a sentence.

Every event that passes through is also encoded and decoded, so that a test of a decision is a
test of what is stored of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from outlive.actors.run.commands import RunCommand
from outlive.actors.run.decide import decide
from outlive.events import CODEC, OutliveError, RunEvent, RunState
from outlive.events.run import evolve


def stored(*events: RunEvent) -> tuple[RunEvent, ...]:
    """Return what is read back of `events`; it is the same."""
    payload = CODEC.encode(events)
    read: Any = CODEC.decode(payload, schema=CODEC.schema, where="a test")
    assert read == events
    assert [type(event) for event in read] == [type(event) for event in events]
    assert CODEC.encode(read) == payload
    return read  # type: ignore[no-any-return]


def fold(*events: RunEvent, state: RunState | None = None) -> RunState:
    """Return the state after `events`."""
    folded = RunState() if state is None else state
    for event in stored(*events):
        folded = evolve(folded, event)
    return folded


class Given:
    """A run with a history."""

    def __init__(self, events: tuple[RunEvent, ...]) -> None:
        self.events = events
        self.state = fold(*events)

    def when(self, *commands: RunCommand) -> When:
        """Decide on the commands, one after the other; `then` is asked about the last."""
        *before, last = commands
        events, state = self.events, self.state
        for command in before:
            decided = decide(state, command)
            events, state = (*events, *decided), fold(*decided, state=state)
        return When(events, state, last)


class When:
    """A command on its way to be decided on."""

    def __init__(self, events: tuple[RunEvent, ...], state: RunState, command: RunCommand) -> None:
        self._events = events
        self._state = state
        self._command = command

    @property
    def decided(self) -> tuple[RunEvent, ...]:
        """What the command causes. Deciding twice comes to the same and changes nothing."""
        before = fold(*self._events)
        events = decide(self._state, self._command)
        assert events == decide(self._state, self._command)
        assert self._state == before
        return stored(*events)

    def then(self, *events: RunEvent) -> Given:
        """It causes just these events. Returns the run after them."""
        assert self.decided == events
        return Given((*self._events, *events))

    def then_refused(self, error: type[OutliveError], *, match: str | None = None) -> None:
        """It is refused."""
        with pytest.raises(error, match=match):
            decide(self._state, self._command)

    @property
    def after(self) -> Given:
        """The run after what the command causes."""
        return Given((*self._events, *self.decided))


def given(*events: RunEvent) -> Given:
    """A run to which this has happened."""
    return Given(events)
