"""An event loop in a thread of its own, for those who have none to await things on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from outlive.actors.loop_actor import BlockingAskRefused
from outlive.events import LogClosed, OutliveError
from outlive.events.forks import Birthplace

T = TypeVar("T")


class LoopThread:
    """Awaits what other threads want awaited, from `begin` to `end`: once, and in one process."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun_in: Birthplace | None = None
        self._door = threading.Lock()  # between those who begin to wait and the loop's end
        self._calls: dict[Future[Any], None] = {}  # that somebody waits for
        self._ended_calls: tuple[Future[Any], ...] = ()

    @property
    def here(self) -> bool:
        """Whether it was begun, in this process."""
        return self._begun_in is not None and not self._begun_in.left

    @property
    def runs(self) -> bool:
        """Whether it takes calls."""
        return self._loop is not None

    def begin(self) -> None:
        """Start the loop. Raises OutliveError the second time, BlockingAskRefused on a loop."""
        refuse_on_a_loop()
        if self._begun_in is not None:
            raise OutliveError("a SyncRuntime is entered once; make another one")
        self._begun_in = Birthplace()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="outlive-loop", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread

    def end(self) -> None:
        """Let nobody in any more, and end the loop. Who waits gets LogClosed. Twice is once."""
        with self._door:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        # What the runtime's end did not end would be waited for for ever.
        self._ended_calls = tuple(self._calls)
        for call in self._ended_calls:
            call.cancel()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def call(self, body: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns on the loop.

        Raises:
            LogClosed: it does not run, or was ended meanwhile.
            BlockingAskRefused: it is called on an event loop, which it would block.
        """
        try:
            refuse_on_a_loop()
            if self._begun_in is not None:
                self._begun_in.check("the runtime")  # First: a lock may have been held there.
            with self._door:
                if self._loop is None:
                    raise LogClosed("the runtime is not open: use it in `with`")
                call = asyncio.run_coroutine_threadsafe(body, self._loop)
                self._calls[call] = None
        except (OutliveError, BlockingAskRefused):
            body.close()
            raise
        try:
            return call.result()
        except CancelledError:
            if call in self._ended_calls:
                raise LogClosed("the runtime was closed meanwhile") from None
            raise
        finally:
            call.cancel()  # If it is not done: who waited for it was interrupted.
            self._calls.pop(call, None)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an async iterator yields on the loop, and close it after."""
        # A step that was interrupted ends before the iterator is closed.
        stepping = asyncio.Lock()

        async def step() -> tuple[T] | None:
            async with stepping:
                try:
                    return (await anext(items),)
                except StopAsyncIteration:
                    return None

        async def close() -> None:
            ending = getattr(items, "aclose", None)
            if ending is not None:
                async with stepping:
                    await ending()

        try:
            found = self.call(step())
            while found is not None:
                yield found[0]
                found = self.call(step())
        finally:
            with suppress(LogClosed):  # The loop's end has closed it; in a fork, the parent does.
                self.call(close())


def refuse_on_a_loop() -> None:
    """Raise BlockingAskRefused on a thread whose event loop runs."""
    if asyncio._get_running_loop() is not None:  # noqa: SLF001  # public, but for its name
        raise BlockingAskRefused("SyncRuntime would block the event loop: use Runtime")
