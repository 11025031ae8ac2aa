"""Who follows a runtime's log, until the runtime is closed: `observe`, `subscription`."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator
from itertools import count
from typing import Literal, Protocol, overload

from outlive.actors.run.begun import has_begun
from outlive.actors.seated import Seated
from outlive.events import (
    NamedSubscription,
    OutliveError,
    Position,
    Record,
    Recorded,
    StreamId,
    Subscription,
    Version,
)
from outlive.projections import observe_run


class _Observer(Protocol):
    def end(self, error: OutliveError) -> None: ...


class Observing(Seated):
    """The part of a runtime through which its log is followed."""

    def __init__(self) -> None:
        super().__init__()
        # By number, as the order of a set of objects is that of their addresses.
        self._observers: weakref.WeakValueDictionary[int, _Observer] = weakref.WeakValueDictionary()
        self._numbers = count()

    def observe(
        self, run_id: str, *, after: int = 0, until: Literal["end", "rest"] = "end"
    ) -> AsyncGenerator[Recorded, None]:
        """Yield a run's events beyond version `after`, then live, until the run is over.

        With `until="rest"`, until it is suspended too. See `outlive.projections.observe_run` for
        the order, and for what it raises.
        """
        log = self._open.side.log
        return observe_run(
            log,
            run_id,
            after=after,
            until=until,
            follow=self._follow,
            begun=lambda stream: has_begun(log, stream),
        )

    def _follow(self, stream: StreamId, after: Version) -> Subscription[Recorded]:
        """Follow a stream until the runtime is closed, whoever owns the log."""
        subscription = self._here.side.log.follow(stream, after=after)
        self._observers[next(self._numbers)] = subscription
        return subscription

    def _follow_all(self, after: Position) -> Subscription[Record]:
        """Follow the log until the runtime is closed, whoever owns it."""
        subscription = self._here.side.log.follow_all(after=after)
        self._observers[next(self._numbers)] = subscription
        return subscription

    @overload
    def subscription(self, name: str) -> NamedSubscription[Record]: ...

    @overload
    def subscription(self, name: str, *, stream: StreamId) -> NamedSubscription[Recorded]: ...

    def subscription(
        self, name: str, *, stream: StreamId | None = None
    ) -> NamedSubscription[Record] | NamedSubscription[Recorded]:
        """Return a reader of the log that begins where `name` has saved last.

        Ends with `LogClosed` when the runtime is closed. See `LogReader.subscription`.
        """
        log = self.log
        if stream is None:
            records = log.subscription(name)
            self._observers[next(self._numbers)] = records
            return records
        events = log.subscription(name, stream=stream)
        self._observers[next(self._numbers)] = events
        return events

    def _end_observers(self, error: OutliveError) -> None:
        """Tell all who follow that there will be no more."""
        for observer in list(self._observers.values()):
            observer.end(error)
