"""One view at work: what is committed is the fold of whole records, and none is left out."""

from __future__ import annotations

import asyncio

import pytest

from outlive.events import (
    Event,
    MemoryLog,
    Record,
    RunStarted,
    Version,
    ViewFailed,
    run_stream,
)
from outlive.projections import Rows, ViewRunner
from tests.support.views import Dump, dump


class Inputs:
    """Counts runs by what they were asked; `many` fill a commit, `trouble` is too much for it."""

    name = "inputs"
    version = 1
    events: frozenset[type[Event]] = frozenset({RunStarted})

    def __init__(self, log: MemoryLog, *, mended: bool = False) -> None:
        self._log = log
        self._mended = mended

    def apply(self, record: Record, rows: Rows) -> None:
        begun = record.events[0]
        assert isinstance(begun, RunStarted)
        key = begun.input.encode()
        rows.put(key, (rows.get(key, int) or 0) + 1)
        if begun.input == "many":
            for number in range(2_000):
                rows.put(b"row %d" % number, 1)
            if not self._mended:
                start(self._log, "trouble")  # As any other thread may.
        if begun.input == "trouble" and not self._mended:
            raise ZeroDivisionError


def start(log: MemoryLog, input: str) -> None:
    stream = run_stream(f"r{log.head}")
    log.append(stream, [RunStarted(agent_id="a", input=input)], expected_version=Version(0))


def test_what_a_projection_made_of_half_a_record_is_not_committed_with_what_was_before() -> None:
    log = MemoryLog()

    async def look(projection: Inputs, *inputs: str) -> Dump:
        views = ViewRunner(log, [projection], folder=None)
        views.start()
        try:
            for input in inputs:
                start(log, input)
                await asyncio.sleep(0.01)
            return [row for row in await views.read("inputs", dump) if row[0][:3] != b"row"]
        finally:
            await views.close()

    with pytest.raises(ViewFailed, match="ZeroDivisionError"):
        asyncio.run(look(Inputs(log), "one", "many"))
    mended = Inputs(log, mended=True)
    assert asyncio.run(look(mended)) == [(b"many", 1), (b"one", 1), (b"trouble", 1)]
