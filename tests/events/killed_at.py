"""A process that appends until a failpoint kills it, and tells what it asks for and is told.

Append number k goes to one of three streams, with a commit id and contents made of k, so that
another process can tell what must be there. Three are on their way at a time. One in five is
larger than a record may be, and its payload the same as that of others.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection

from outlive.events import Commit, Event, EventLog, OpenEntry, StreamId, Version
from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.durability import Durability
from outlive.testing.kills import kill_me_at
from outlive.testing.log_contract.filling import A, B, C, delta

STREAMS = (A, B, C)


def stream_of(number: int) -> StreamId:
    return STREAMS[number % 3]


def events_of(number: int) -> list[Event]:
    return delta("x" * 70_000) if number % 5 == 0 else delta(str(number), "second")


def version_before(number: int) -> Version:
    """The version of its stream before append `number`, from 1."""
    before = range(number % 3 or 3, number, 3)
    return Version(sum(len(events_of(other)) for other in before))


def entry_of(number: int) -> OpenEntry | None:
    return OpenEntry(kind="run", status=str(number)) if number % 4 else None


def append(log: EventLog, number: int) -> Commit:
    """Append number `number`, from 1. May be repeated."""
    return log.append(
        stream_of(number),
        events_of(number),
        expected_version=version_before(number),
        commit_id=number.to_bytes(16, "big"),
        entry=entry_of(number),
    )


async def work(log: LmdbLog, pipe: Connection) -> None:
    async def follow() -> None:
        async for record in log.follow_all():
            pipe.send(("followed", int(record.position)))

    following = asyncio.ensure_future(follow())
    log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
    for first in range(1, 3_000, 3):
        commits: list[Commit] = []
        for number in range(first, first + 3):
            pipe.send(("asked", number))
            commits.append(append(log, number))
        for number, commit in enumerate(commits, first):
            await commit
            pipe.send(("told", number))
    following.cancel()


def victim(pipe: Connection, path: str, point: str, nth: int, durability: Durability) -> None:
    """Append until it comes by the point for the `nth` time."""
    log = LmdbLog(path, durability=durability)
    kill_me_at(point, nth)
    asyncio.run(work(log, pipe))
