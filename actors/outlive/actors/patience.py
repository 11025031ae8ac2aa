"""Waiting for what a function of the user comes to: so long, and no longer whatever it does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

from outlive.actors.effects import running_task

A = TypeVar("A")
T = TypeVar("T")
HOOK_S: Final = 120.0
"""So many seconds a call of a hook may take, if nothing else is said."""


class OutOfTime(Exception):
    """It has taken longer than it may, and nobody waits for it any more."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:g} seconds")


async def within(seconds: float | None, body: Callable[[], Awaitable[T]]) -> T:
    """Return what `body()` comes to, in a task of its own.

    The task is cancelled when the time is over, or who waits is cancelled. One that goes on all
    the same is left to itself: what it comes to then is of no use.

    Args:
        seconds: so long it is waited for; None: however long.
        body: what is awaited.

    Raises:
        OutOfTime: it took longer.
        RuntimeError: it has raised what would end a task, or the process.
        Exception: whatever else it raises.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    task = loop.create_task(_outcome(body))
    task.add_done_callback(wake)
    timer = None if seconds is None else loop.call_later(seconds, wake)
    try:
        await over
    finally:
        if timer is not None:
            timer.cancel()
        task.cancel()
    if seconds is not None and not task.done():
        raise OutOfTime(seconds)
    result, error = task.result()
    if isinstance(error, Exception):
        raise error
    if error is not None:
        raise RuntimeError(f"it has raised {type(error).__name__}") from error
    return cast("T", result)


async def answer_of(function: Callable[[A], object], asked: A, seconds: float | None) -> object:
    """Return what a function, sync or async, says, which is called with `asked`. As `within`."""

    async def said() -> object:
        answer = function(asked)
        return await answer if inspect.isawaitable(answer) else answer

    return await within(seconds, said)


async def _outcome(
    body: Callable[[], Awaitable[T]],
) -> tuple[T, None] | tuple[None, BaseException]:
    """Return what it comes to, or has raised: a task cannot end with all of that."""
    task = asyncio.current_task()
    try:
        return await body(), None
    except BaseException as error:
        if isinstance(error, GeneratorExit) and running_task() is not task:
            raise  # Destroyed with its loop.
        return None, error
