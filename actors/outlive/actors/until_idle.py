"""Until when a run goes on whose model has nothing more to ask for, but whose tasks have."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, get_args

import msgspec

from outlive.actors.retry import seconds
from outlive.events import InvalidDefinition
from outlive.events.run.background import IdlePolicy

React = Literal["each", "all"]


class UntilIdle(msgspec.Struct, frozen=True, kw_only=True):
    """A run goes on until it and its background tasks are idle.

    Args:
        react: the model is told of results as they come (`each`; those that come meanwhile are
            told together), or once, when there is the last one (`all`).
        max_wait: seconds, or a `timedelta`, that the run waits, each time that the model has
            answered: for a result (`each`), or for the last one (`all`). Then it ends without,
            with `finish_reason="tasks_pending"`, and the tasks go on. None: as long as it takes.

    Raises:
        InvalidDefinition: a value that cannot hold.
    """

    react: React = "each"
    max_wait: float | timedelta | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if self.react not in get_args(React):
            raise InvalidDefinition(f"react is one of each, all, not {self.react!r}")
        if self.max_wait is not None:
            seconds("max_wait", self.max_wait)


def idle_policy(until_idle: bool | UntilIdle) -> IdlePolicy | None:
    """Return what a run keeps of it; None: it does not wait for its tasks.

    Raises:
        TypeError: it is nothing of the sort.
    """
    if isinstance(until_idle, bool):
        return IdlePolicy() if until_idle else None
    if not isinstance(until_idle, UntilIdle):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"until_idle is True, False or UntilIdle(...), not {until_idle!r}")
    longest = until_idle.max_wait
    return IdlePolicy(
        react=until_idle.react,
        max_wait_ns=None if longest is None else round(seconds("max_wait", longest) * 1e9),
    )
