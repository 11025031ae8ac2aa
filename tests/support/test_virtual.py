"""The loop with virtual time on which tests run waits for threads, and for none that waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.virtual import VirtualLoop, clock, run_virtual


def test_time_passes_for_a_thread_that_asks_again_before_the_loop_hears_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_again = threading.Event()
    resume: Callable[..., None] = VirtualLoop.resume_thread

    def late(loop: VirtualLoop, work: Any, **how: Any) -> None:
        assert asked_again.wait(10)
        resume(loop, work, **how)

    async def body() -> float:
        loop = asyncio.get_running_loop()

        def work() -> None:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(1), loop).result()
            second = asyncio.run_coroutine_threadsafe(asyncio.sleep(2), loop)
            asked_again.set()
            second.result()

        await loop.run_in_executor(None, work)
        return clock().seconds

    monkeypatch.setattr(VirtualLoop, "resume_thread", late)
    assert run_virtual(body()) == 3
