"""One view at work: what is committed is the fold of whole records, and none is left out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

import pytest

from outlive.events import (
    Event,
    LogFailed,
    MemoryLog,
    OutliveError,
    Position,
    Record,
    RunStarted,
    Version,
    ViewFailed,
    run_stream,
)
from outlive.projections import Rows, ViewRunner
from outlive.projections.views import following
from outlive.projections.views.following import FollowedView
from outlive.projections.views.store import (
    Changes,
    Checkpoint,
    Damaged,
    MemoryStore,
    Store,
    Unusable,
)
from tests.support.views import Dump, dump

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Inputs:
    """Counts runs by what they were asked; `many` fill a commit, `trouble` is too much for it."""

    name = "inputs"
    version = 1
    events: frozenset[type[Event]] = frozenset({RunStarted})

    def __init__(self, log: MemoryLog, *, mended: bool = False) -> None:
        self._log = log
        self._mended = mended

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        for record in records:
            begun = record.events[0]
            assert isinstance(begun, RunStarted)
            key = begun.input.encode()
            rows.put(key, (rows.get(key, int) or 0) + 1)
            if begun.input == "many":
                for number in range(5_000):
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


class Busy:
    """A store in memory whose disk has no space for the first commit, when the test says so."""

    def __init__(self) -> None:
        self.kept = MemoryStore()
        self.tries = 0
        self.begun = threading.Event()
        self.full = threading.Event()

    @property
    def checkpoint(self) -> Checkpoint:
        return self.kept.checkpoint

    def get(self, key: bytes) -> bytes | None:
        return self.kept.get(key)

    def page(
        self, start: bytes, end: bytes | None, *, reverse: bool, limit: int
    ) -> list[tuple[bytes, bytes]]:
        return self.kept.page(start, end, reverse=reverse, limit=limit)

    def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
        self.tries += 1
        if self.tries == 1:
            self.begun.set()
            assert self.full.wait(10)
            raise Unusable("there is no space")
        self.kept.commit(changes, checkpoint)

    def close(self, *, clean: bool = True) -> None:
        pass


def test_what_could_not_be_committed_while_it_is_closed_is_committed_with_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "_COMMIT_AFTER", 0)
    log, store = MemoryLog(), Busy()

    def opened(_: bool) -> Store:
        return store

    async def body() -> None:
        view = FollowedView(Inputs(log), log, opened, waits=True)
        view.start()
        start(log, "one")
        await view.reach(log.head)
        await asyncio.to_thread(store.begun.wait, 10)
        start(log, "two")
        await view.reach(log.head)
        closing = asyncio.create_task(view.close())
        await asyncio.sleep(0)
        store.full.set()
        await closing

    asyncio.run(body())
    assert (store.tries, store.checkpoint.position) == (2, Position(2))
    assert dump(Rows(store)) == [(b"one", 1), (b"two", 1)]


@pytest.mark.parametrize("error", [Unusable("no space"), LogFailed("too many read it")])
def test_a_view_that_was_built_anew_once_is_gone_on_with_after_other_trouble(
    error: OutliveError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_COMMIT_AFTER", 0)
    monkeypatch.setattr(following, "_SOON", 0)
    log, begun = MemoryLog(), list[bool]()
    errors: list[OutliveError | None] = [Damaged("a row lacks"), None, error, None]

    class Troubled(MemoryStore):
        def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
            if errors and (found := errors.pop(0)) is not None:
                raise found
            super().commit(changes, checkpoint)

    kept = [Troubled()]

    def opened(fresh: bool) -> Store:
        begun.append(fresh)
        if fresh:
            kept[0] = Troubled()
        return kept[0]

    async def body() -> None:
        view = FollowedView(Inputs(log), log, opened, waits=False)
        view.start()
        # when: a store is damaged, and the one that took its place is not to be used for a moment
        for number in range(3):
            start(log, f"{number}")
            for _ in range(1_000):
                await asyncio.sleep(0)
        await view.close()

    asyncio.run(body())
    # then: only what was damaged is begun anew, and nothing is missing
    assert begun == [False, True, False]
    assert dump(Rows(kept[0])) == [(b"0", 1), (b"1", 1), (b"2", 1)]


class Slow:
    """A projection that needs 3 ms of the loop's time for 256 records."""

    name = "slow"
    version = 1
    events: frozenset[type[Event]] = frozenset({RunStarted})
    each_s = 0.003 / 256

    def __init__(self, clock: list[float]) -> None:
        self._clock = clock

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        self._clock[0] += self.each_s * len(records)
        rows.put(b"count", (rows.get(b"count", int) or 0) + len(records))


@pytest.mark.parametrize(
    ("others_s", "turns"),
    [(0, 4), (0.001, 4), (0.02, 2), (0.1, 1), (60, 1)],
    ids=["nothing", "1 ms", "20 ms", "100 ms", "a minute"],
)
def test_a_view_folds_for_longer_at_a_time_where_the_others_take_longer(
    others_s: float, turns: int
) -> None:
    clock, log = [0.0], MemoryLog()

    async def work() -> set[int]:
        asyncio.get_running_loop().time = lambda: clock[0]  # type: ignore[method-assign]
        # given: a view that follows, live
        view = FollowedView(Slow(clock), log, lambda _: MemoryStore(), waits=False)
        view.start()
        start(log, "first")
        await view.reach(log.head)
        for _ in range(5):
            await asyncio.sleep(0)
        clock[0] += others_s
        # when: a thousand records come at once, and the others take so long in each turn
        for number in range(1_000):
            start(log, str(number))
        waiting = asyncio.ensure_future(view.reach(log.head))
        seen: set[int] = set()
        while not waiting.done():
            await asyncio.sleep(0)
            clock[0] += others_s
            seen.add(view.at)
        rows = await waiting
        assert rows.get(b"count", int) == 1_001
        await view.close()
        return seen - {1}

    # then: it has folded them in so many turns
    assert len(asyncio.run(work())) == turns


class Unthreaded(FollowedView):
    """One whose disk answers at once: a thread would take time that is not on the clock."""

    async def _aside(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return work(*arguments)


@pytest.mark.parametrize("somebody_waits", [False, True])
def test_a_view_that_has_much_to_read_comes_after_other_work_unless_somebody_waits(
    somebody_waits: bool,
) -> None:
    clock, log = [0.0], MemoryLog()
    others_s = 0.002  # in each turn of the loop

    async def work() -> float:
        asyncio.get_running_loop().time = lambda: clock[0]  # type: ignore[method-assign]
        # given: a log of many records, none of which the view has
        for number in range(4_000):
            start(log, str(number))
        # when: it begins to read, and the others have much to do
        view = Unthreaded(Slow(clock), log, lambda _: MemoryStore(), waits=True)
        view.start()
        waiting = asyncio.ensure_future(view.reach(log.head)) if somebody_waits else None
        while view.at < log.head:
            await asyncio.sleep(0)
            clock[0] += others_s
        took = clock[0]
        if waiting is not None:
            await waiting
        await view.close()
        return took

    # then: it takes about a twentieth of the time, or all that it needs
    took, needed = asyncio.run(work()), 4_000 * Slow.each_s
    assert took < 3 * needed if somebody_waits else 10 * needed < took < 40 * needed, took / needed


class Slower(Slow):
    """A projection that needs 120 ms for a page."""

    each_s = 0.12 / 512


def test_a_view_does_not_come_after_other_work_for_ever() -> None:
    clock, log = [0.0], MemoryLog()

    async def work() -> float:
        asyncio.get_running_loop().time = lambda: clock[0]  # type: ignore[method-assign]
        # given: a log that takes two minutes to fold where each page comes after other work
        for number in range(30_000):
            log.append(
                run_stream(f"r{number}"),
                [RunStarted(agent_id="a", input="x")],
                expected_version=Version(0),
            )
        # when: the others never have less to do
        view = Unthreaded(Slower(clock), log, lambda _: MemoryStore(), waits=True)
        view.start()
        while view.at < log.head:
            await asyncio.sleep(0)
            clock[0] += 0.02
        await view.close()
        return clock[0]

    # then: after ten seconds it reads on all the same
    assert 10 < asyncio.run(work()) < 30
