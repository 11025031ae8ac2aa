"""The floor of a durable run: msgspec and LMDB, by hand, without any feature.

A run is 5 model and 5 tool steps. Each step's result and the intent of the next step are one
durable commit, so a run makes 11. No identity of a writer, no hash, no open questions, no
observers, no retries, no limits: the least that still finishes every run after a SIGKILL.

`BareStore` commits in the thread that asks. `GroupStore` has one thread that commits all that
has queued up: slower for one, faster for many.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Protocol, Self

import lmdb
import msgspec

MODEL_STEPS: Final = 5
COMMITS: Final = 2 * MODEL_STEPS + 1
PAYLOAD: Final = "x" * 200
STUCK_STEP: Final = 2  # where runs are interrupted that are to recover: about half is left
MAP_BYTES: Final = 1 << 40


class Asked(msgspec.Struct, tag="asked", frozen=True, gc=False):
    """A step is about to be taken: even ones ask the model, odd ones a tool."""

    step: int


class Answered(msgspec.Struct, tag="answered", frozen=True, gc=False):
    """A step's result."""

    step: int
    result: str
    tool: str = ""


class Done(msgspec.Struct, tag="done", frozen=True, gc=False):
    """The run is over."""


FloorEvent = Asked | Answered | Done

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[FloorEvent]).decode


class Store(Protocol):
    """What the floor's runs need of a store."""

    def commit(self, run: int, number: int, events: Sequence[FloorEvent]) -> None:
        """Make a run's `number`-th commit durable."""
        ...


class BareStore:
    """Two tables: what happened, and which runs are open."""

    def __init__(self, folder: Path) -> None:
        self.env: Final = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=2)
        self.events: Final = self.env.open_db(b"events")
        self.open: Final = self.env.open_db(b"open")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.env.close()

    def commit(self, run: int, number: int, events: Sequence[FloorEvent]) -> None:
        """Make it durable before returning."""
        with self.env.begin(write=True) as txn:
            self.put(txn, run, number, events)

    def put(
        self, txn: lmdb.Transaction, run: int, number: int, events: Sequence[FloorEvent]
    ) -> None:
        """Write one commit's rows."""
        name = run.to_bytes(8, "big")
        txn.put(name + number.to_bytes(4, "big"), _encode(events), db=self.events)
        if number == 0:
            txn.put(name, b"", db=self.open)
        elif number == COMMITS - 1:
            txn.delete(name, db=self.open)

    def left_open(self) -> list[tuple[int, int]]:
        """Return the open runs, and the step that each was taking."""
        found: list[tuple[int, int]] = []
        with self.env.begin() as txn:
            cursor = txn.cursor(db=self.events)
            for name in txn.cursor(db=self.open).iternext(values=False):
                # The last row of a run stands before the first possible one of the next.
                if not cursor.set_range(name + b"\xff\xff\xff\xff"):
                    cursor.last()
                else:
                    cursor.prev()
                assert cursor.key()[:8] == name
                last = _decode(cursor.value())[-1]
                assert isinstance(last, Asked)
                found.append((int.from_bytes(name, "big"), last.step))
        return found


class GroupStore(BareStore):
    """One thread commits all that has queued up, in one transaction."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._queue: SimpleQueue[tuple[int, int, Sequence[FloorEvent], threading.Lock] | None]
        self._queue = SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def commit(self, run: int, number: int, events: Sequence[FloorEvent]) -> None:
        """Make it durable before returning."""
        durable = threading.Lock()
        durable.acquire()
        self._queue.put((run, number, events, durable))
        durable.acquire()

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            for _ in range(self._queue.qsize()):
                more = self._queue.get()
                assert more is not None, "closed while runs are being committed"
                batch.append(more)
            with self.env.begin(write=True) as txn:
                for run, number, events, _ in batch:
                    self.put(txn, run, number, events)
            for *_, durable in batch:
                durable.release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread, then close the files."""
        self._queue.put(None)
        self._writer.join()
        super().__exit__(kind, error, trace)


def ask_model(step: int) -> Answered:
    """Answer with 200 bytes of text and a tool call."""
    return Answered(step, PAYLOAD, "look")


def call_tool(step: int) -> Answered:
    """Answer with 200 bytes."""
    return Answered(step, PAYLOAD)


def go_on(store: Store, run: int, step: int) -> None:
    """Take the steps of a run from `step` on, each ending in one durable commit."""
    for taken in range(step, 2 * MODEL_STEPS):
        result = call_tool(taken) if taken % 2 else ask_model(taken)
        last = taken == 2 * MODEL_STEPS - 1
        store.commit(run, taken + 1, [result, Done() if last else Asked(taken + 1)])


def begin(store: Store, run: int) -> None:
    """Record that a run begins with its first model call."""
    store.commit(run, 0, [Asked(0)])
