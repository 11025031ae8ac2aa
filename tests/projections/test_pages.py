"""Views that catch up: the log is read once for all that are at one place, in their turns."""

from __future__ import annotations

import asyncio

from outlive.events import MemoryLog, Position, Record, RunStarted, Version, run_stream
from outlive.projections.views.pages import Pages


class Log(MemoryLog):
    """One that notes what is read of it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.reads: list[int] = []
        for number in range(count):
            started = RunStarted(agent_id="a", input="x")
            self.append(run_stream(f"r{number}"), [started], expected_version=Version(0))

    def read_all(self, *, after: Position = Position(0), limit: int = 1_000) -> list[Record]:
        self.reads.append(after)
        return super().read_all(after=after, limit=limit)


class View:
    """Reads all there is, ten records at a time, and notes whose turn it was."""

    def __init__(self, name: str, at: int, pages: Pages, turns: list[str]) -> None:
        self.name = name
        self.at = Position(at)
        self.waited_for = False
        self.folded: list[int] = []
        self._pages = pages
        self._turns = turns
        self._at_end = False

    async def catch_up(self) -> None:
        while True:
            async with self._pages.turn(self):
                await self._fold()
                while not self._at_end and self._pages.comes_first(self):
                    await self._fold()
            if self._at_end:
                return

    async def _fold(self) -> None:
        page = self._pages.at_hand(self.at) or self._pages.read(self.at, 10)
        await asyncio.sleep(0)
        self._turns.append(self.name)
        self.folded += [record.position for record in page]
        self._at_end = not page
        if page:
            self.at = page[-1].position


def caught_up(log: Log, **places: int) -> tuple[list[View], list[str]]:
    """Let views catch up that begin at such places."""
    turns: list[str] = []

    async def work() -> list[View]:
        pages = Pages(log)
        views = [View(name, at, pages, turns) for name, at in places.items()]
        await asyncio.gather(*(view.catch_up() for view in views))
        assert pages.at_hand(Position(0)) == [], "nothing is kept when all have what they want"
        return views

    return asyncio.run(work()), turns


def test_views_at_one_place_are_given_the_same_page() -> None:
    log = Log(95)
    views, _ = caught_up(log, a=0, b=0, c=0)
    assert [view.folded for view in views] == [list(range(1, 96))] * 3
    # The end is looked for by each.
    assert log.reads == [*range(0, 91, 10), 95, 95, 95]


def test_the_one_that_is_furthest_behind_comes_first_until_all_are_at_one_place() -> None:
    log = Log(95)
    views, turns = caught_up(log, a=60, b=3, c=27)
    assert [view.folded for view in views] == [list(range(at + 1, 96)) for at in (60, 3, 27)]
    assert len(log.reads) == len(set(log.reads)) + 2, "nothing is read twice but the end"
    assert turns[:8] == ["a", "b", "b", "b", "c", "b", "c", "b"]


def test_one_that_is_waited_for_comes_before_those_that_are_further_behind() -> None:
    log, turns = Log(95), list[str]()

    async def work() -> None:
        pages = Pages(log)
        views = [View(name, at, pages, turns) for name, at in (("a", 0), ("b", 10), ("c", 50))]
        views[2].waited_for = True
        told = [pages.waited_for]
        reading = [asyncio.ensure_future(view.catch_up()) for view in views]
        await asyncio.sleep(0)
        told.append(pages.waited_for)
        assert told == [False, True]
        await asyncio.gather(*reading)

    asyncio.run(work())
    assert turns[:6] == ["a", "c", "c", "c", "c", "c"]


def test_who_rests_in_his_turn_goes_on_when_somebody_asks() -> None:
    async def work() -> None:
        pages = Pages(Log(1))
        pages.end_rest()  # nobody rests
        resting = asyncio.ensure_future(pages.rest(3_600))
        await asyncio.sleep(0)
        pages.end_rest()
        pages.end_rest()
        await resting

    asyncio.run(work())


def test_one_that_is_cancelled_before_or_in_its_turn_holds_up_nobody() -> None:
    async def work() -> None:
        log, turns = Log(95), list[str]()
        pages = Pages(log)
        views = [View(name, 0, pages, turns) for name in "abcd"]
        a, b, c, d = [asyncio.ensure_future(view.catch_up()) for view in views]
        await asyncio.sleep(0)
        c.cancel()  # while it waits
        while b.cancelling() == 0:
            await asyncio.sleep(0)
            if "b" not in turns and views[0].at:
                b.cancel()  # when it has been told that it is its turn
        await asyncio.gather(a, d)
        assert [view.at for view in views] == [95, 0, 0, 95]

    asyncio.run(work())
