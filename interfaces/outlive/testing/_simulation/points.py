"""The instants at which a simulated process can be made to die, counted from 1."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from outlive.events import InvalidDefinition
from outlive.testing._simulation.process import Process

Fate: TypeAlias = Literal["kill", "freeze"]
When: TypeAlias = Literal["before", "after"]


def check_fates(crash_at: Mapping[int, Fate]) -> dict[int, Fate]:
    """Return fates by the number of their point. Raises InvalidDefinition if they are none."""
    if not isinstance(crash_at, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"crash_at is as {{17: 'kill', 19: 'freeze'}}, not {crash_at!r}")
    for number, fate in crash_at.items():
        if type(number) is not int or number < 1:
            raise InvalidDefinition(f"crash_at: points are numbers from 1, unlike {number!r}")
        if fate not in get_args(Fate):
            raise InvalidDefinition(f"crash_at: a fate is 'kill' or 'freeze', not {fate!r}")
    return dict(crash_at)


def check_names(option: str, names: Collection[str]) -> frozenset[str]:
    """Return names as a set. Raises InvalidDefinition for a single one, which has letters."""
    if isinstance(names, str):
        raise InvalidDefinition(f"{option} is a list of names, as [{names!r}]")
    return frozenset(names)


@dataclass(frozen=True)
class Point:
    """An instant that a process came by: `before` or `after` `what`."""

    number: int
    when: When
    what: str

    def __str__(self) -> str:
        """Say it in words."""
        return f"point {self.number}, {self.when} {self.what}"


@dataclass
class Points:
    """Counts the instants, and makes processes die at those that were chosen."""

    fates: dict[int, Fate] = field(default_factory=dict[int, Fate])
    meet: Callable[[Process, Fate], None] | None = None
    most: int | None = None
    """How many there may be: a scenario with more of them does not come to its end."""
    # Bare tuples: a long simulation passes many, and the garbage collector looks at objects.
    _passed: list[tuple[When, str]] = field(default_factory=list[tuple[When, str]])

    @property
    def passed(self) -> list[Point]:
        """The instants so far, in order."""
        return [Point(number, *one) for number, one in enumerate(self._passed, 1)]

    @property
    def count(self) -> int:
        """How many instants there were so far."""
        return len(self._passed)

    def come_by(self, process: Process | None, when: When, what: str) -> bool:
        """A process comes by; return whether it goes on."""
        if process is None:
            return True
        if not process.alive:
            return False
        self._passed.append((when, what))
        fate = self.fates.get(len(self._passed))
        if fate is not None and self.meet is not None:
            self.meet(process, fate)
        return process.alive


KEPT: Final = 400
"""Characters of a point's description that are kept."""
