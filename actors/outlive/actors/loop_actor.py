"""Pykka actors on an asyncio event loop: an idle actor holds no thread.

`LoopActor` implements Pykka's extension points (`_create_actor_inbox`, `_create_future`,
`_start_actor_loop`). Turns are asked for in turns.py. It differs from Pykka's own actors in
four things, each of which would hurt here:

- no global registry: whoever starts an actor keeps it (several runtimes share a process);
- a `BaseException` in one actor does not stop the others;
- `await future` waits on the loop; a blocking `get` on a loop's thread is refused;
- the flag `actor_stopped` and the mailbox are small: 100,000 idle actors are no problem.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import pykka
from pykka._envelope import Envelope
from pykka._future import _Unset  # pyright: ignore[reportPrivateUsage]  # what its own __init__ sets

from outlive.actors.logs import told
from outlive.actors.turns import turns_of
from outlive.events.errors import MailboxFull, OutliveError
from outlive.events.logger import get_logger

_log = get_logger()

T = TypeVar("T")
_BURST: Final = 64  # messages handled before the loop gets its turn
MAILBOX_LIMIT: Final = 10_000
"""Messages that may wait for one actor before callers from outside are refused."""
_UNSET: Final = object()
_NOT_ASKED: Final = _Unset()


class BlockingAskRefused(OutliveError):
    """A blocking `ask` on the event loop's own thread would never be answered. Await it."""


class MailboxClosed(OutliveError):
    """The actor has stopped; the message was not taken."""


class LoopFuture(pykka.Future[T]):
    """A reply. Await it on any event loop, or `get` it on any other thread.

    The value may be set from any thread, once.
    """

    def __init__(self) -> None:
        self._get_hook = None  # Not by way of Pykka's own: there are very many of them.
        self._get_hook_result = _NOT_ASKED
        self._lock = threading.Lock()
        self._value: object = _UNSET
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []

    def set(self, value: object = None) -> None:
        """Answer with a value."""
        self._settle(value, None)

    def set_exception(self, exc_info: tuple[object, object, object] | None = None) -> None:
        """Answer with an exception: an `exc_info` triple, or the one being handled."""
        _, error, _ = exc_info or sys.exc_info()
        self._settle(None, cast("BaseException", error))

    def fail(self, error: BaseException) -> None:
        """Answer with an exception."""
        self._settle(None, error)

    def _settle(self, value: object, error: BaseException | None) -> None:
        with self._lock:
            assert self._value is _UNSET, "a future is answered once"
            self._value, self._error = value, error
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def when_set(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the answer is there, on the thread that sets it; or now."""
        with self._lock:
            if self._value is _UNSET:
                self._callbacks.append(callback)
                return
        callback()

    def get(self, *, timeout: float | None = None) -> T:
        """Block until the answer is there.

        Raises:
            BlockingAskRefused: called on a thread that runs an event loop.
            pykka.Timeout: no answer within `timeout` seconds.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)  # made by `map`, `filter`, `join` or `reduce`
        if self._value is _UNSET:
            if asyncio._get_running_loop() is not None:  # noqa: SLF001  # public, but for its name
                raise BlockingAskRefused("await the future: get() would block the event loop")
            answered = threading.Event()
            self.when_set(answered.set)
            if not answered.wait(timeout):
                raise pykka.Timeout(f"{timeout} seconds")
        return self._unwrap()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the answer on the running event loop."""
        if self._get_hook is not None:
            return self.get()  # Pykka's own combinations are not awaitable, only answered ones.
        if self._value is _UNSET:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.when_set(partial(_let_go_on, waiter))
            yield from waiter
        return self._unwrap()

    def _unwrap(self) -> T:
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


def _let_go_on(waiter: asyncio.Future[None]) -> None:
    """Have who awaits an answer go on, on his loop. From any thread."""
    loop = waiter.get_loop()
    if asyncio._get_running_loop() is loop:  # noqa: SLF001  # public, but for its name
        _wake(waiter)
    else:
        loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Mailbox:
    """Messages waiting at one address, in order. Wakes the loop when there is something new.

    It belongs to the address: an actor that is thrown away leaves it to the next one.
    """

    __slots__ = (
        "_callers",
        "_closed",
        "_drain",
        "_limit",
        "_lock",
        "_loop",
        "_messages",
        "_scheduled",
        "_soon",
        "_thread",
    )

    def __init__(self, limit: int = MAILBOX_LIMIT) -> None:
        """Make one that refuses callers from outside when `limit` messages wait in it."""
        self._limit = limit
        self._callers = 0  # from outside, not answered yet
        self._messages: deque[Envelope[Any]] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._drain: Callable[[], None] | None = None
        self._scheduled = False
        self._closed = False

    def bind(self, loop: asyncio.AbstractEventLoop, drain: Callable[[], None]) -> None:
        """From now on, run `drain` on `loop` when there are messages. Call it on the loop."""
        with self._lock:
            self._loop, self._drain, self._thread = loop, drain, threading.get_ident()
            self._soon = turns_of(loop)
            waiting = self._scheduled = bool(self._messages)
        if waiting:
            self._schedule()

    def ask_for_a_turn(self) -> None:
        """Run `drain` also if no message comes. Call it on the loop."""
        with self._lock:
            if self._scheduled or self._loop is None:
                return
            self._scheduled = True
        self._schedule()

    def unbind(self) -> None:
        """Keep what comes in from now on, until there is an actor again. Call it on the loop."""
        with self._lock:
            self._loop = self._drain = None
            self._scheduled = False

    def offer(self, item: Envelope[Any], reply: LoopFuture[Any]) -> None:
        """Add the message of a caller from outside, who waits for `reply`.

        Raises:
            MailboxFull: `limit` messages wait, or as many such callers for their answers.
            MailboxClosed: the actor has stopped.
        """
        with self._lock:
            if not self._closed and max(self._callers, len(self._messages)) >= self._limit:
                raise MailboxFull(self._limit)
            self._callers += 1
        try:
            self.put(item)
        except MailboxClosed:
            self._answered()
            raise
        reply.when_set(self._answered)

    def _answered(self) -> None:
        with self._lock:
            self._callers -= 1

    def put_back(self, items: Iterable[Envelope[Any]]) -> None:
        """Add messages ahead of all others, in their order. Call it on the loop."""
        with self._lock:
            self._messages.extendleft(reversed(list(items)))
            if not self._messages or self._scheduled or self._loop is None or self._closed:
                return
            self._scheduled = True
        self._schedule()

    def put(self, item: Envelope[Any], /) -> None:
        """Add a message, from any thread, however many there are: none of ours may be lost.

        Raises:
            MailboxClosed: the actor has stopped.
        """
        with self._lock:
            if self._closed:
                raise MailboxClosed("the actor has stopped")
            self._messages.append(item)
            if self._scheduled or self._loop is None:
                return
            self._scheduled = True
        self._schedule()

    def _schedule(self) -> None:
        loop, drain = self._loop, self._drain
        if loop is None or drain is None:
            return  # Let go of since another thread put something in: whoever binds it goes on.
        if threading.get_ident() == self._thread:
            assert self._soon is not None
            self._soon(drain)
        else:
            loop.call_soon_threadsafe(drain)

    def get(self) -> Envelope[Any]:
        """Take the next message. Raises IndexError when there is none."""
        return self._messages.popleft()

    def take(self) -> Envelope[Any] | None:
        """Take the next message; if there is none, the next `put` wakes the loop again."""
        if not self._messages:
            with self._lock:
                if not self._messages:  # One may have come from another thread.
                    self._scheduled = False
                    return None
        return self._messages.popleft()

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._messages

    def qsize(self) -> int:
        """How many messages wait."""
        return len(self._messages)

    def rest(self) -> None:
        """Go on with the next one in another turn of the loop."""
        with self._lock:
            if not self._messages:
                self._scheduled = False
                return
        self._schedule()

    def close(self) -> None:
        """Refuse messages from now on."""
        with self._lock:
            self._closed = True
            if not self._messages:
                self._drain = None  # It holds the actor, whose memory is free at once without it.


class _Flag:
    """`threading.Event` without its condition, for the time in which somebody looks at it."""

    __slots__ = ("_actor",)

    def __init__(self, actor: LoopActor) -> None:
        self._actor = actor

    def is_set(self) -> bool:
        return self._actor.is_stopped

    def set(self) -> None:
        self._actor.is_stopped = True


class LoopActor(pykka.Actor):
    """An actor that runs on the event loop that started it."""

    def __init__(self, urn: str, mailbox: Mailbox | None = None) -> None:
        # Pykka's own __init__ draws a uuid4 and a threading.Event: 6 us and 1.2 KB each.
        self.actor_urn = urn
        self.mailbox: Final = self._create_actor_inbox() if mailbox is None else mailbox
        self._detached = False
        self.is_stopped = False

    # Found, and not kept as Pykka's own does: an object of up to 29 attributes has no dict.

    @property
    def actor_inbox(self) -> Mailbox:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # nobody sets it
        """The mailbox, by Pykka's name for it."""
        return self.mailbox

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # as above
        """Whether it was stopped, by Pykka's name for it."""
        return cast("threading.Event", _Flag(self))

    @property
    def actor_ref(self) -> pykka.ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]  # as Pykka's own, whose ref is invariant
        """A reference to the actor, as Pykka's own has. Made when asked for: few ever are."""
        return pykka.ActorRef(self)

    @classmethod
    def start(cls, *args: object, **kwargs: object) -> pykka.ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]  # as Pykka's own, whose ref is invariant
        """Create and start an actor on the running loop. Keep it: nothing else does."""
        actor = cast("Callable[..., Self]", cls)(*args, **kwargs)
        actor.run()
        return actor.actor_ref

    def run(self) -> None:
        """Start handling messages on the running loop."""
        self._start_actor_loop()

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        self._actor_loop_setup()
        self.mailbox.bind(asyncio.get_running_loop(), self._drain)

    def detach(self) -> None:
        """Handle nothing any more; leave the mailbox to the next actor of this address."""
        self._detached = True
        self.mailbox.unbind()

    def _drain(self) -> None:
        mailbox = self.mailbox
        try:
            for _ in range(_BURST):
                if self._detached:
                    return
                if self.is_stopped:
                    self._refuse_the_rest()
                    return
                envelope = mailbox.take()
                if envelope is None:
                    return
                self._process(envelope)
        except BaseException:  # Of who was answered, for one: those behind do not wait for ever.
            if not self._detached:
                mailbox.rest()
            raise
        if not self._detached:
            mailbox.rest()

    def _refuse_the_rest(self) -> None:
        """Answer what came before the stop and was not handled."""
        while not self.mailbox.empty():
            reply = cast("LoopFuture[Any] | None", self.mailbox.get().reply_to)
            if reply is not None:
                reply.fail(MailboxClosed("the actor stopped before it came to this message"))

    def _process(self, envelope: Envelope[Any]) -> None:
        """Handle one message and answer it."""
        reply = cast("LoopFuture[Any] | None", envelope.reply_to)
        try:
            response = self._handle_receive(envelope.message)
        except BaseException as error:  # noqa: BLE001  # one actor's end is not everyone's
            if reply is not None:
                reply.fail(error)
                return
            self._handle_failure(type(error), error, error.__traceback__)
            self.on_failure(type(error), error, error.__traceback__)
        else:
            if reply is not None:
                reply.set(response)

    def _stop(self) -> None:
        self.is_stopped = True
        self.mailbox.close()
        try:
            self.on_stop()
        except Exception as error:  # noqa: BLE001  # as Pykka does
            self._handle_failure(type(error), error, error.__traceback__)

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _log.error(
            "actor_failed",
            actor=self.actor_urn,
            error=told(exception_value) if exception_value is not None else "",
        )
        self.is_stopped = True
        self.mailbox.close()
