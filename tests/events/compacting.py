"""A process that appends answers in pieces and compacts them, until it is killed.

Sends `told, stream, version` for each acknowledged commit, and `told, compacted, N` for each
compaction that dropped N records.
"""

from __future__ import annotations

import random
import threading
from multiprocessing.connection import Connection

from outlive.events import Commit, Version, run_stream
from outlive.events.lmdb_store import LmdbLog, compactor
from outlive.testing.log_contract.compacting import answer
from tests.events.appender import teller


def append_and_compact(pipe: Connection, path: str, seed: int) -> None:
    chance = random.Random(seed)
    log, tell = LmdbLog(path), teller(pipe)
    tell(run_stream("epoch"), log.epoch)
    compactor._PART_RECORDS = chance.choice((3, 20, 2_000))  # type: ignore[misc]  # pyright: ignore[reportConstantRedefinition]

    def compact() -> None:
        while True:
            done = log.compact()
            if done.records:
                tell(run_stream("compacted"), done.records)

    threading.Thread(target=compact, daemon=True).start()
    step = 0
    while True:
        stream = run_stream(f"{chance.randrange(4)}")
        version = log.version(stream)
        commits: list[Commit] = []
        for events in answer(step, pieces=chance.choice((1, 5, 40))):
            commits.append(log.append(stream, events, expected_version=version))
            version = Version(version + len(events))
        tell(stream, commits[-1].result().last_version)
        step += 1
