"""What a strategy draws: whether all kinds of events come up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from hypothesis import Phase, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from outlive.events import Event

T = TypeVar("T")


def missing(
    kinds: Iterable[type[Event]],
    drawn: SearchStrategy[T],
    events: Callable[[T], Iterable[Event]],
    *,
    examples: int,
) -> set[type[Event]]:
    """Return the kinds that are not among the events of so many examples."""
    left = set(kinds)

    def look(example: T) -> bool:
        left.difference_update(map(type, events(example)))
        return not left

    with suppress(NoSuchExample):
        find(
            drawn,
            look,
            settings=settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
            ),
        )
    return left
