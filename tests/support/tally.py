"""An entity as small as can be: a tally that may owe effects and wait for an instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from outlive.events import Codec, Event, OpenEntry, Position, Refused, Version


class Added(Event, tag="added", frozen=True, kw_only=True):
    by: int


class Wanted(Event, tag="wanted", frozen=True, kw_only=True):
    effect: str


class Performed(Event, tag="performed", frozen=True, kw_only=True):
    effect: str


class Slept(Event, tag="slept", frozen=True, kw_only=True):
    until_ns: int | None


class Ended(Event, tag="ended", frozen=True, kw_only=True):
    pass


class Cursed(Event, tag="cursed", frozen=True, kw_only=True):
    pass


TALLY_CODEC: Final = Codec([Added, Wanted, Performed, Slept, Ended, Cursed])


class Tally(Struct, frozen=True):
    """What was added, in order; what is owed, and what is waited for."""

    begun: bool = False
    over: bool = False
    history: tuple[int, ...] = ()
    owed: tuple[str, ...] = ()
    wake_at_ns: int | None = None


@dataclass(frozen=True)
class Do:
    """Causes these events."""

    events: tuple[Event, ...]

    def __init__(self, *events: Event) -> None:
        object.__setattr__(self, "events", events)


class Look:
    """Causes nothing."""


class Refuse:
    """Is refused."""


class AddOne:
    """Adds one more than was added last: shows upon what it was decided."""


@dataclass(frozen=True)
class WakeUp:
    """Adds 100 if it is time to; a repeat changes nothing."""

    now_ns: int


Command = Do | Look | Refuse | AddOne | WakeUp


class TallyEntity:
    @property
    def initial(self) -> Tally:
        return Tally()

    @property
    def edition(self) -> int:
        return 1

    @property
    def lasts(self) -> bool:
        return False

    def decide(self, state: Tally, command: Command) -> tuple[Event, ...]:
        match command:
            case Do():
                return command.events
            case Look():
                return ()
            case Refuse():
                raise Refused("no")
            case AddOne():
                return (Added(by=(state.history or (0,))[-1] + 1),)
            case WakeUp():
                if state.wake_at_ns is None or state.wake_at_ns > command.now_ns:
                    return ()
                return (Slept(until_ns=None), Added(by=100))

    def evolve(self, state: Tally, event: Event) -> Tally:
        state = replace(state, begun=True)
        match event:
            case Added():
                return replace(state, history=(*state.history, event.by))
            case Wanted():
                return replace(state, owed=(*state.owed, event.effect))
            case Performed():
                return replace(
                    state, owed=tuple(owed for owed in state.owed if owed != event.effect)
                )
            case Slept():
                return replace(state, wake_at_ns=event.until_ns)
            case Ended():
                return replace(state, over=True, owed=(), wake_at_ns=None)
            case _:
                raise ValueError("cursed")

    def outstanding(self, state: Tally) -> dict[str, None]:
        return dict.fromkeys(state.owed)

    def open_entry(self, state: Tally) -> OpenEntry | None:
        if state.over or not state.begun:
            return None
        return OpenEntry(
            kind="tally", status="open", wake_at_ns=state.wake_at_ns, owes=bool(state.owed)
        )


class FakeWorld:
    """Notes what it is asked to do, in order."""

    def __init__(self) -> None:
        self.noted: list[Event] = []
        self.done: list[str] = []
        self.causes: list[int] = []
        self.resets = 0
        self.begun_at = self.noted_to = Version(0)

    def reset(self, version: Version) -> None:
        self.noted, self.resets, self.begun_at = [], self.resets + 1, version

    def committed(self, events: Sequence[Event], version: Version) -> None:
        self.noted += events
        self.noted_to = version

    def perform(self, effect: str, cause: Position) -> None:
        self.done.append(f"+{effect}")
        self.causes.append(cause)

    def give_up(self, effect: str) -> None:
        self.done.append(f"-{effect}")
