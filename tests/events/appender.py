"""A process that appends until it is killed, and tells what was acknowledged.

Sends `told, stream, version` for each acknowledged commit. Threads append one by one, an event
loop appends without waiting; commits have one to four events, rows come and go.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeAlias

from outlive.events import Commit, OpenEntry, StreamId, Version, run_stream
from outlive.events.lmdb_store import LmdbLog
from outlive.testing.log_contract.filling import delta

THREADS = 2
ENTRIES = (None, OpenEntry(kind="run", status="running", summary={"x": "y" * 300}))
Tell: TypeAlias = Callable[[StreamId, int], None]
_versions: dict[StreamId, Version] = {}


def teller(pipe: Connection) -> Tell:
    """Return what tells of a commit, from any thread; whole or not at all."""
    lock = threading.Lock()

    def tell(stream: StreamId, version: int) -> None:
        with lock:
            pipe.send(("told", stream, int(version)))

    return tell


def append_one(log: LmdbLog, stream: StreamId, chance: random.Random) -> Commit:
    count = chance.choice((1, 1, 2, 4))
    texts = [
        f"{stream} {chance.randrange(1 << 30)}"
        * chance.choice((1, 1, 10, 10, 10, 200, 200, 200, 200, 4_000))
    ] * count
    version = _versions.setdefault(stream, log.version(stream))
    _versions[stream] = Version(version + count)
    return log.append(stream, delta(*texts), expected_version=version, entry=chance.choice(ENTRIES))


def on_a_thread(log: LmdbLog, tell: Tell, number: int, seed: int) -> None:
    chance = random.Random(f"{seed} {number}")
    while True:
        stream = run_stream(f"{number}.{chance.randrange(4)}")
        tell(stream, append_one(log, stream, chance).result().last_version)


async def on_a_loop(log: LmdbLog, tell: Tell, seed: int) -> None:
    chance = random.Random(seed)
    log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
    room = asyncio.Semaphore(50)

    def settled(commit: Commit) -> None:
        room.release()
        assert commit.outcome is not None, commit.error
        tell(commit.stream, commit.outcome.last_version)

    while True:
        await room.acquire()
        append_one(log, run_stream(f"loop.{chance.randrange(8)}"), chance).then(settled)


def append(pipe: Connection, path: str, seed: int) -> None:
    log, tell = LmdbLog(path), teller(pipe)
    tell(StreamId("epoch"), log.epoch)
    for number in range(THREADS):
        threading.Thread(target=on_a_thread, args=(log, tell, number, seed), daemon=True).start()
    asyncio.run(on_a_loop(log, tell, seed))
