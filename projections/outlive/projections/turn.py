"""Giving the event loop its turn, in the middle of work that does not wait for anything."""

from __future__ import annotations

import asyncio


async def let_others_go_on() -> None:
    """Return once all that was ready has had its turn."""
    loop = asyncio.get_running_loop()
    later: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_wake, later)
    await later


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
