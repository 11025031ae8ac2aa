"""What `bench_recovery` is compared with: the same processes without Outlive.

    python -m benchmarks._recovery_floor start   FOLDER FIRST RUNS
    python -m benchmarks._recovery_floor recover FOLDER FIRST RUNS

`start` leaves runs as a process leaves them that is killed in their third tool call.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks._floor import PAYLOAD, STUCK_STEP, Answered, Asked, BareStore, go_on


def start(folder: Path, first: int, runs: int) -> None:
    """Write what runs that wait in their third tool call have written."""
    with BareStore(folder) as store, store.env.begin(write=True) as txn:
        for run in range(first, first + runs):
            store.put(txn, run, 0, [Asked(0)])
            for step in range(2 * STUCK_STEP + 1):
                store.put(txn, run, step + 1, [Answered(step, PAYLOAD), Asked(step + 1)])
    print("waiting", flush=True)


def recover(folder: Path, _: int, runs: int) -> None:
    """Take up what is open, run by run, with one durable commit a step."""
    with BareStore(folder) as store:
        left = store.left_open()
        for run, step in left:
            go_on(store, run, step)
        print(time.monotonic_ns(), flush=True)
        assert len(left) == runs


if __name__ == "__main__":
    program, where, first, count = sys.argv[1:]
    {"start": start, "recover": recover}[program](Path(where), int(first), int(count))
