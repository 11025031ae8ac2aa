"""Threads for sync tools: made as needed, used again, never waited for."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from outlive.actors.threads import DaemonThreads


def test_what_a_function_returns_or_raises_is_in_its_future() -> None:
    threads = DaemonThreads()
    assert threads.submit(lambda: 5).result(5) == 5
    assert threads.submit(divmod, 7, 2).result(5) == (3, 1)
    for error in (ValueError("x"), SystemExit(3), KeyboardInterrupt()):

        def raising(error: BaseException = error) -> None:
            raise error

        assert threads.submit(raising).exception(5) is error
    threads.shutdown()


def test_as_many_run_at_once_as_there_are() -> None:
    threads = DaemonThreads()
    barrier = threading.Barrier(50)
    futures = [threads.submit(barrier.wait, 10) for _ in range(50)]
    assert sorted(future.result(10) for future in futures) == list(range(50))
    threads.shutdown()


def test_a_thread_that_is_done_is_used_again() -> None:
    threads = DaemonThreads("reused")
    seen: set[int] = set()
    for _ in range(200):
        seen.add(threads.submit(threading.get_ident).result(5))
    assert len(seen) < 20
    threads.shutdown()


def test_threads_are_daemons_and_have_a_name() -> None:
    threads = DaemonThreads("named")
    thread = threads.submit(threading.current_thread).result(5)
    assert thread.daemon
    assert thread.name == "named"
    threads.shutdown()


def test_after_the_shutdown_nothing_is_taken_and_idle_threads_end() -> None:
    threads = DaemonThreads()
    thread = threads.submit(threading.current_thread).result(5)
    threads.shutdown()
    thread.join(5)
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(lambda: None)
    threads.shutdown()


def test_the_shutdown_does_not_wait_for_what_runs() -> None:
    threads = DaemonThreads()
    gate = threading.Event()
    future = threads.submit(gate.wait, 30)
    threads.shutdown(wait=True)
    assert not future.done()
    gate.set()
    assert future.result(5) is True


def test_what_was_cancelled_before_it_began_is_not_run() -> None:
    threads = DaemonThreads()
    ran: list[int] = []

    async def body() -> None:
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(threads, ran.append, number) for number in range(5)]
        for future in futures[1::2]:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)

    asyncio.run(body())
    assert {0, 2, 4} <= set(ran)
    threads.shutdown()


def test_a_cancelled_future_says_so() -> None:
    threads = DaemonThreads()
    gate = threading.Event()
    running = threads.submit(gate.wait, 30)
    assert not running.cancel(), "what runs cannot be cancelled"
    gate.set()
    assert running.result(5)
    future = threads.submit(lambda: None)
    if future.cancel():
        with pytest.raises(CancelledError):
            future.result(5)
    threads.shutdown()


def test_an_idle_thread_ends_after_a_while_and_work_that_comes_just_then_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outlive.actors.threads._IDLE", 0.0005)
    threads = DaemonThreads()
    for number in range(1_000):
        assert threads.submit(abs, number).result(5) == number
    threads.shutdown()
