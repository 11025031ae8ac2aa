"""Given events, when a command comes, then events (or a refusal): deciding as a sentence.

What passes through is also taken through its stored form, so that a test of a decision is a
test of what is stored of it: events and states as the log and the snapshots beside it hold
them, commands as they could be written down.
"""

from __future__ import annotations

import re
from typing import Any, Generic, TypeVar, overload

from outlive.actors.entity import Entity
from outlive.actors.run.commands import RunCommand
from outlive.actors.run.entity import RUN
from outlive.events import CODEC, Codec, Event, OutliveError, RunState
from outlive.testing._shown import difference, events_shown, shown
from outlive.testing._stored import fold, stored, stored_command, stored_state

S = TypeVar("S")
C = TypeVar("C")


class Given(Generic[S, C]):
    """An entity with a history. Made by `given`."""

    def __init__(self, events: tuple[Event, ...], entity: Entity[S, C, Any], codec: Codec) -> None:
        self._events = stored(*events, codec=codec)
        self._entity = entity
        self._codec = codec
        self._state = fold(*events, entity=entity, codec=codec)

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened to it."""
        return self._events

    @property
    def state(self) -> S:
        """What that comes to."""
        return self._state

    def when(self, *commands: C) -> When[S, C]:
        """Let commands come, one after the other; what follows is asked about the last.

        Raises:
            AssertionError: a command that cannot be written down and read again.
            OutliveError: one before the last is refused.
        """
        __tracebackhide__ = True
        if not commands:
            raise TypeError("when what? Give a command")
        *before, last = commands
        history = self
        for command in before:
            history = When(history, self._entity, self._codec, command).after
        return When(history, self._entity, self._codec, last)


class When(Generic[S, C]):
    """A command that comes to an entity. Made by `Given.when`."""

    def __init__(
        self, history: Given[S, C], entity: Entity[S, C, Any], codec: Codec, command: C
    ) -> None:
        __tracebackhide__ = True
        self._history = history
        self._entity = entity
        self._codec = codec
        self._command = command
        self._written = stored_command(command)

    @property
    def decided(self) -> tuple[Event, ...]:
        """What the command causes.

        It is decided twice, the second time upon a state that was saved and a command that was
        written down, and has to come to the same.

        Raises:
            OutliveError: it is refused.
            AssertionError: `decide` is not pure: it comes to something else the second time,
                or changes the state or the command.
        """
        __tracebackhide__ = True
        events, error = self._outcome()
        if error is not None:
            raise error
        return events

    def then(self, *events: Event) -> Given[S, C]:
        """It causes just these events. Returns the entity after them."""
        __tracebackhide__ = True
        decided, error = self._outcome()
        if error is not None:
            raise AssertionError(
                f"{shown(self._command)}\nis refused: {type(error).__name__}: {error}\n"
                f"and not obeyed with\n{events_shown(events)}"
            ) from error
        if decided != events or [type(one) for one in decided] != [type(one) for one in events]:
            raise AssertionError(
                f"{shown(self._command)}\ndoes not cause what is expected "
                f"(- expected, + caused):\n{difference(events, decided) or '    no event'}"
            )
        return self._after(decided)

    def then_refused(self, error: type[OutliveError], *, match: str | None = None) -> Given[S, C]:
        """It is refused with an error of this type. Returns the entity as it is.

        Args:
            error: the type, or one above it.
            match: a regular expression for some part of the message.
        """
        __tracebackhide__ = True
        decided, found = self._outcome()
        if found is None:
            raise AssertionError(
                f"{shown(self._command)}\nis not refused with {error.__name__} but causes\n"
                f"{events_shown(decided)}"
            )
        if not isinstance(found, error):
            raise AssertionError(
                f"{shown(self._command)}\nis refused, but not with {error.__name__}: "
                f"{type(found).__name__}: {found}"
            ) from found
        if match is not None and re.search(match, str(found)) is None:
            raise AssertionError(
                f"{shown(self._command)}\nis refused, but not with words that match {match!r}: "
                f"{found}"
            ) from found
        return self._history

    @property
    def after(self) -> Given[S, C]:
        """The entity after what the command causes. Raises as `decided` does."""
        __tracebackhide__ = True
        return self._after(self.decided)

    def _after(self, decided: tuple[Event, ...]) -> Given[S, C]:
        return Given((*self._history.events, *decided), self._entity, self._codec)

    def _outcome(self) -> tuple[tuple[Event, ...], OutliveError | None]:
        """Return events, or the error of a refusal, once they are known to be well decided."""
        __tracebackhide__ = True
        state = self._history.state
        first = self._decide(state, self._command)
        saved = stored_state(state, self._entity)
        if state != fold(*self._history.events, entity=self._entity, codec=self._codec):
            raise AssertionError(f"decide has changed the state that it was handed: {shown(state)}")
        if self._command != self._written:
            raise AssertionError(
                f"decide has changed the command that it was handed:\n  {shown(self._written)}\n"
                f"is now\n  {shown(self._command)}"
            )
        second = self._decide(saved, stored_command(self._written))
        if not _same(first, second):
            raise AssertionError(
                f"decide is not pure: {shown(self._command)}\ncauses\n{_outcome_shown(first)}\n"
                f"and, decided upon once more,\n{_outcome_shown(second)}"
            )
        return first

    def _decide(self, state: S, command: C) -> tuple[tuple[Event, ...], OutliveError | None]:
        __tracebackhide__ = True
        try:
            events = self._entity.decide(state, command)
        except OutliveError as error:
            return (), error
        return stored(*events, codec=self._codec), None


_Outcome = tuple[tuple[Event, ...], OutliveError | None]


def _same(one: _Outcome, two: _Outcome) -> bool:
    (events, error), (other_events, other_error) = one, two
    return events == other_events and _error_shown(error) == _error_shown(other_error)


def _error_shown(error: OutliveError | None) -> str:
    return f"{type(error).__name__}: {error}" if error else ""


def _outcome_shown(outcome: _Outcome) -> str:
    events, error = outcome
    return f"    {_error_shown(error)}" if error else events_shown(events)


@overload
def given(*events: Event) -> Given[RunState, RunCommand]: ...


@overload
def given(*events: Event, entity: Entity[S, C, Any], codec: Codec = CODEC) -> Given[S, C]: ...


def given(
    *events: Event, entity: Entity[Any, Any, Any] = RUN, codec: Codec = CODEC
) -> Given[Any, Any]:
    """Begin a sentence: to a run, or another `entity`, this has happened.

    `given(*events).when(command).then(*events)`, or `.then_refused(Refused)`.

    Args:
        events: in order, from the first.
        entity: the pure parts of another kind of entity than the run.
        codec: the catalogue that its events are in.

    Raises:
        AssertionError: an event, or a state on the way, that does not come back from where it
            is stored as what it was.
    """
    __tracebackhide__ = True
    return Given(events, entity, codec)
