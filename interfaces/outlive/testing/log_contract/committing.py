"""Commits as futures, and what closing does to them."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from outlive.events import (
    Commit,
    EventLog,
    LogClosed,
    Version,
    WrongExpectedVersion,
)
from outlive.testing.log_contract.filling import (
    NONE,
    A,
    Filler,
    delta,
    note,
    run,
    texts,
)
from outlive.testing.log_contract.store import Store, StoreContract

L = TypeVar("L", bound=EventLog)


class CommittingContract(StoreContract[L]):
    """A commit tells when it is durable, in order."""

    # Commits as futures

    def test_callbacks_run_in_the_order_of_the_appends(self, log: EventLog) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            log.deliver_on(loop.call_soon_threadsafe)
            order: list[int] = []
            done = asyncio.Event()
            for number in range(100):
                commit = log.append(A, delta("x"), expected_version=Version(number))
                commit.then(note(order, number))
            last = log.append(A, [], expected_version=Version(100))
            last.then(lambda _: done.set())
            await done.wait()
            assert order == list(range(100))

        run(work())

    def test_a_callback_runs_after_the_commit_can_be_read(self, log: EventLog) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            log.deliver_on(loop.call_soon_threadsafe)
            seen: asyncio.Future[list[str]] = loop.create_future()
            commit = log.append(A, delta("1"), expected_version=NONE)
            commit.then(lambda _: seen.set_result(texts(log.read(A))))
            assert await seen == ["1"]

        run(work())

    def test_then_on_a_settled_commit_runs_at_once(self, log: EventLog) -> None:
        commit = log.append(A, delta("1"), expected_version=NONE)
        commit.result(5)
        seen: list[Commit] = []
        commit.then(seen.append)
        assert seen == [commit]
        assert commit.settled

    def test_commits_are_awaited(self, log: EventLog) -> None:
        async def work() -> None:
            assert (await log.append(A, delta("1"), expected_version=NONE)).last_version == 1
            log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
            commits = [
                log.append(A, delta("x"), expected_version=Version(version))
                for version in (1, 2, 1, 3)
            ]
            assert (await commits[1]).last_version == 3
            with pytest.raises(WrongExpectedVersion):
                await commits[2]
            assert (await commits[3]).last_version == 4

        run(work())

    def test_a_callback_that_raises_keeps_no_other_from_running(self, log: EventLog) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            raised: list[object] = []
            loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))
            log.deliver_on(loop.call_soon_threadsafe)
            bad = log.append(A, delta("1"), expected_version=NONE)
            good = log.append(A, delta("2"), expected_version=Version(1))

            def fail(_: Commit) -> None:
                raise ZeroDivisionError

            bad.then(fail)
            assert (await good).last_version == 2
            assert [type(error) for error in raised] == [ZeroDivisionError]

        run(work())

    @pytest.mark.parametrize("through_loop", [True, False])
    def test_a_callback_may_append(self, log: EventLog, through_loop: bool) -> None:
        async def work() -> None:
            follower = log.follow(A)
            first = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0)
            again: list[Commit] = []

            def append_more(_: Commit) -> None:
                again.append(log.append(A, delta("2"), expected_version=Version(1)))

            if through_loop:
                log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
            commit = log.append(A, delta("1"), expected_version=NONE)
            commit.then(append_more)
            found = [await first, await anext(follower)]
            assert texts(found) == ["1", "2"]
            assert (await again[0]).last_version == 2
            assert texts(log.read(A)) == ["1", "2"]
            await follower.aclose()

        run(work())

    # Closing

    def test_a_closed_log_takes_no_appends(self, log: EventLog) -> None:
        log.close()
        log.close()
        with pytest.raises(LogClosed):
            log.append(A, delta("1"), expected_version=NONE)

    def test_closing_waits_for_what_was_appended(self, store: Store) -> None:
        filler = Filler(store.log)
        commits = [filler.append("x") for _ in range(500)]
        store.reopen(clean=True)
        assert all(commit.settled for commit in commits)
        assert store.log.version(A) == 500
