"""A process that follows the log, is killed as the others are, and goes on where it was.

Its offset is kept with what it saw, in the same line: what it has written down it does not see
again, and what it has not, it sees.

    ("record", position, stream, first version, number of events)
"""

from __future__ import annotations

import asyncio
import os
from multiprocessing.connection import Connection

from outlive.events import LmdbReader, Position
from outlive.testing.kills._account import Account
from outlive.testing.kills._plan import Plan
from outlive.testing.kills._victim import write_output_to


def observe(pipe: Connection, plan: Plan) -> None:
    """Follow the log from the last record that was written down, until told how far."""
    write_output_to(str(plan.output))
    asyncio.run(_observe(pipe, plan))


async def _observe(pipe: Connection, plan: Plan) -> None:
    account = Account(plan.observed)
    seen = Position(0)
    for line in account.lines():
        if line[0] == "record" and isinstance(line[1], int):
            seen = Position(line[1])
    loop = asyncio.get_running_loop()
    last: asyncio.Future[int] = loop.create_future()

    def hear() -> None:
        try:
            last.set_result(pipe.recv()[1])
        except EOFError:
            os._exit(0)  # The harness is dead.
        loop.remove_reader(pipe.fileno())

    loop.add_reader(pipe.fileno(), hear)
    reader = LmdbReader(plan.log)
    async with reader.follow_all(after=seen) as records:

        async def follow() -> None:
            nonlocal seen
            async for record in records:
                account.write(
                    "record",
                    record.position,
                    record.stream,
                    record.first_version,
                    len(record.events),
                )
                seen = record.position
                if last.done() and seen >= last.result():
                    return

        following = asyncio.create_task(follow())
        following.add_done_callback(lambda _: None if last.done() else last.set_result(seen))
        if await last > seen or following.done():  # It may have failed.
            await following
    reader.close()
