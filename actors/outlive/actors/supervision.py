"""What becomes of an actor that has nothing to do, has failed, or can never go on.

One that owes nothing and of which nothing runs leaves memory, whatever it waits for: a row and
a timer are left of it. Those who wait for its outcome wait at the address.

An actor in which something raises where nobody is asked (deciding, a commit, an effect's
start) is thrown away, and after a while another one is brought in at its address, by that same
command. Mailbox, running effects and who waits for the outcome are the address's, and stay.
After five such failures at the same point the entity is quarantined.
"""

from __future__ import annotations

from functools import partial
from typing import Final, TypeVar

from outlive.actors.kind import SUSPENDED
from outlive.actors.logs import told
from outlive.actors.residents import Resident, Residents
from outlive.actors.trouble import is_of_a_later_release, is_the_streams, line
from outlive.events import LogError, OpenEntry, StreamId
from outlive.events.logger import get_logger

_log = get_logger()
STAYS_NS: Final = 5_000_000_000
"""An entity that is woken within so many nanoseconds stays in memory until then.

Coming back means that its stream is read: 0.1 ms for a few events, some milliseconds for
hundreds. That is nothing beside a wait of five seconds, and too much for first retries, which
come after one or two, to thousands at once when a provider has a bad moment.
"""
_MAX_FAILURES: Final = 5  # at one point, and no rebuild follows
_FIRST_DELAY: Final = 0.1  # seconds before the first rebuild; each further one waits longer
_FACTOR: Final = 4

S = TypeVar("S")
C = TypeVar("C")
X = TypeVar("X")
R = TypeVar("R")


class Supervision(Residents[S, C, X, R]):
    """The entities of one kind in memory: they leave it, fail and stand still."""

    def _idle(self, stream: StreamId) -> None:
        """Nothing is on its way: tell who waits for the outcome; have it leave memory if it may.

        It may if its row owes nothing and no effect of it runs, not even one that was given up
        and goes on in a thread: whoever needs it again brings it in, and the clock is watched
        for it. What is woken soon stays, see `STAYS_NS`, and so does what waits in `stay`.
        """
        resident = self._residents.get(stream)
        if resident is None:
            return
        entry = resident.actor.entry
        if resident.as_it_is is not None and self._stands_again(stream, resident, entry):
            return
        if entry is None or entry.over or entry.status == SUSPENDED:
            self._answer(stream, resident, None)
        if entry is None or not (
            entry.owes or stream in self._stay or self._is_woken_soon(stream, entry)
        ):
            self._let_go(stream, resident)

    def _stands_again(
        self, stream: StreamId, resident: Resident[S, C, X, R], entry: OpenEntry | None
    ) -> bool:
        """One that was brought in as it is has done what it was told: whether that was all."""
        before, over = resident.as_it_is, entry is None or entry.over
        missing = self._kind.missing(resident.actor.state)
        quarantined = before is not None and before.status == "quarantined" and not over
        if not missing and not quarantined:
            resident.as_it_is = None
            try:
                resident.actor.restore_row()
            except LogError as error:
                self._broken(stream, error)
                return True
            resident.actor.go_on()
            if resident.actor.unsettled:
                self._recover(stream, resident.actor)
            self._hand_on(stream)
            return resident.actor.busy
        if self._effects.any(stream):
            self._effects.when_none(stream, resident.actor.tell_if_idle)
            return not over
        if before is not None and quarantined:
            self._stand_still(stream, "quarantined", before.reason, try_again=before.try_again)
        else:
            self._stand_still(stream, "blocked", missing)
        return True

    def _is_woken_soon(self, stream: StreamId, entry: OpenEntry) -> bool:
        if entry.wake_at_ns is None:
            return False
        left_ns = self._timers.left_ns(stream)
        return left_ns is None or left_ns < STAYS_NS

    def _let_go(self, stream: StreamId, resident: Resident[S, C, X, R]) -> None:
        if self._effects.any(stream):
            self._effects.when_none(stream, resident.actor.tell_if_idle)
            return
        del self._residents[stream]
        resident.actor.stop_now()

    def _answer(
        self, stream: StreamId, resident: Resident[S, C, X, R], entry: OpenEntry | None
    ) -> None:
        self._waiters.answer(
            stream,
            lambda: self._kind.outcome(stream, resident.actor.state, resident.world, entry),
        )

    def _broken(self, stream: StreamId, error: BaseException) -> None:
        """An actor cannot go on: it is thrown away, and another one takes its place if it may."""
        resident = self._residents.get(stream)
        if self._closed or resident is None:
            return
        if not is_the_streams(error):
            self._drop(stream, resident, error)
            # The log's trouble: those that are not in memory would never hear of it.
            self._waiters.fail_all(error, but=self._residents)
        elif isinstance(error, LogError):
            _log.error("entity_broken", stream=stream, error=told(error))
            self._stand_still(
                stream, "quarantined", line(error), try_again=is_of_a_later_release(error)
            )
        elif resident.rebuild is None:
            self._supervise(stream, resident, error)

    def _supervise(
        self, stream: StreamId, resident: Resident[S, C, X, R], error: BaseException
    ) -> None:
        """Something has raised in an actor: rebuild it after a while, or quarantine the entity."""
        stands = resident.as_it_is
        if stands is not None:  # It stands still as before; who told it something tells it again.
            _log.error("entity_broken", stream=stream, error=told(error))
            self._stand_still(stream, stands.status, stands.reason, try_again=stands.try_again)
            return
        resident.count_failure(self._kind.point(resident.actor.state))
        failures = resident.failures
        _log.error("entity_broken", stream=stream, failures=failures, error=told(error))
        if failures >= _MAX_FAILURES:
            reason = f"failed {failures} times without getting any further: {line(error)}"
            self._stand_still(stream, "quarantined", reason)
            return
        resident.actor.detach()
        delay = _FIRST_DELAY * _FACTOR ** (failures - 1)
        resident.rebuild = self._loop.call_later(delay, self._drain_and_rebuild, stream, resident)

    def _drain_and_rebuild(self, stream: StreamId, resident: Resident[S, C, X, R]) -> None:
        resident.actor.when_drained(lambda: self._rebuild(stream, resident))

    def _rebuild(self, stream: StreamId, resident: Resident[S, C, X, R]) -> None:
        """Bring in another actor at the address. All commits of the one before are settled."""
        if self._closed or self._residents.get(stream) is not resident:
            return
        try:
            actor = self._load(stream, resident.world, resident.actor.mailbox)
            if isinstance(actor, OpenEntry):
                self._leave(stream, resident, actor)
                return
            resident.actor, resident.rebuild = actor, None
            self._settle_in(stream, resident)
        except LogError as error:
            self._broken(stream, error)

    def _stand_still(
        self, stream: StreamId, status: str, reason: str, *, try_again: bool = False
    ) -> None:
        """Take an entity out of memory, with the reason in its row.

        Not before its commits are settled: whoever brings it in by its row reads the stream.
        """
        resident = self._residents.get(stream)
        if resident is None:
            return  # All was closed.
        stand = partial(self._stand_still_now, stream, resident, status, reason, try_again)
        if not resident.actor.writes:
            stand()
            return
        resident.actor.detach()
        if resident.rebuild is not None:
            resident.rebuild.cancel()
        resident.rebuild = self._loop.call_later(0, resident.actor.when_drained, stand)

    def _stand_still_now(
        self,
        stream: StreamId,
        resident: Resident[S, C, X, R],
        status: str,
        reason: str,
        try_again: bool,
    ) -> None:
        if self._residents.get(stream) is not resident:
            return
        try:
            version = self._log.version(stream)
            entry = self._standing.mark(stream, status, reason, version, try_again=try_again)
        except LogError as error:
            if is_the_streams(error):  # Its row is damaged, too: nothing can be said in it.
                self._drop(stream, resident, error)
            else:
                self._broken(stream, error)
        else:
            self._leave(stream, resident, entry)

    def _drop(self, stream: StreamId, resident: Resident[S, C, X, R], error: BaseException) -> None:
        """An entity leaves memory, and its row does not tell why."""
        _log.error("entity_broken", stream=stream, error=told(error))
        del self._residents[stream]
        self._stop(resident)
        self._waiters.fail(stream, error)

    def _leave(self, stream: StreamId, resident: Resident[S, C, X, R], entry: OpenEntry) -> None:
        """An entity whose row says that it stands still leaves memory."""
        del self._residents[stream]
        self._stop(resident)
        for effect in self._effects.in_order(stream):
            resident.world.give_up(effect)
        self._answer(stream, resident, entry)

    @staticmethod
    def _stop(resident: Resident[S, C, X, R]) -> None:
        if resident.rebuild is not None:
            resident.rebuild.cancel()
            resident.rebuild = None
        resident.actor.stop_now()
