"""The runtime without await, where others close it, interrupt it, or share it between threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from outlive.actors import Agent, EchoModel, Finish, ModelPart, ModelRequest, SyncRuntime
from outlive.events import LogClosed, OutliveError

T = TypeVar("T")


class Silent:
    """A model that never answers."""

    name = "silent"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        await asyncio.get_running_loop().create_future()
        yield Finish()


def runtime() -> SyncRuntime:
    agents = [Agent("echo", model=EchoModel()), Agent("silent", model=Silent())]
    return SyncRuntime(None, agents=agents)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the next wait interrupted, as by Ctrl-C."""
    result = Future[Any].result
    interrupts: list[BaseException] = []

    def interrupted(future: Future[Any], timeout: float | None = None) -> Any:
        if interrupts:
            raise interrupts.pop()
        return result(future, timeout)

    monkeypatch.setattr(Future, "result", interrupted)
    return lambda: interrupts.append(KeyboardInterrupt())


def in_thread(work: Callable[[], T]) -> Future[T]:
    told: Future[T] = Future()

    def run() -> None:
        try:
            told.set_result(work())
        except Exception as error:  # noqa: BLE001  # handed on
            told.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return told


def test_an_interrupted_observer_is_told_of_the_interrupt(interrupt: Callable[[], None]) -> None:
    with runtime() as rt:
        events = rt.start("silent", "x").events()
        next(events)
        next(events)
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            next(events)


def test_an_interrupted_subscription_skips_nothing(interrupt: Callable[[], None]) -> None:
    with runtime() as rt:
        rt.run("echo", "x")
        records = rt.subscription("mine")
        while records.offset < rt.log.head:
            next(records)
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            next(records)
        before = records.offset
        run = rt.start("echo", "y")
        run.result()
        records.save()
        assert records.offset == before
        assert next(records).position == next(rt.subscription("mine")).position > before


def test_who_waits_while_it_is_closed_is_told(interrupt: Callable[[], None]) -> None:
    rt = runtime().__enter__()
    begun = threading.Event()

    async def never() -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    waiting = in_thread(lambda: rt.wait_for(never()))
    begun.wait()
    rt.close()
    with pytest.raises(LogClosed):
        waiting.result(20)


def test_many_may_close_it_at_once() -> None:
    for _ in range(10):
        rt = runtime().__enter__()
        rt.start("silent", "x")
        closing = [in_thread(rt.close) for _ in range(4)]
        for each in closing:
            each.result(20)
        with pytest.raises(LogClosed):
            rt.start("echo", "x")


def test_threads_that_share_a_subscription_get_each_record_once() -> None:
    with runtime() as rt:
        records = rt.subscription("mine")
        takers = [
            in_thread(lambda: [int(next(records).position) for _ in range(5)]) for _ in range(4)
        ]
        for n in range(20):
            rt.run("echo", str(n))
        taken: list[int] = []
        for taker in takers:
            taken += taker.result(20)
        assert sorted(taken) == [record.position for record in rt.log.read_all(limit=20)]


def test_it_is_entered_once_and_stays_open() -> None:
    with runtime() as rt:
        with pytest.raises(OutliveError, match="entered once"):
            rt.__enter__()
        assert rt.run("echo", "x").output == "x"


def test_a_subscription_is_closed_with_its_runtime() -> None:
    with runtime() as rt:
        records = rt.subscription("mine")
    records.close()
