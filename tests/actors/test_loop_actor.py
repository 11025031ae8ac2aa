"""Pykka actors on an event loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from outlive.actors.loop_actor import (
    BlockingAskRefused,
    LoopActor,
    LoopFuture,
    Mailbox,
    MailboxClosed,
)
from tests.actors.conftest import Logs
from tests.support import run_virtual, virtual_loop


class Echo(LoopActor):
    """Answers with the message, or raises it."""

    def __init__(self, urn: str = "echo") -> None:
        super().__init__(urn)
        self.seen: list[object] = []
        self.threads: set[int] = set()
        self.ended: list[str] = []

    def on_receive(self, message: Any) -> Any:
        self.threads.add(threading.get_ident())
        self.seen.append(message)
        if isinstance(message, BaseException):
            raise message
        return message

    def on_stop(self) -> None:
        self.ended.append("stop")

    def on_failure(
        self, exception_type: object, exception_value: object, traceback: object
    ) -> None:
        self.ended.append("failure")


def started(urn: str = "echo") -> Echo:
    actor = Echo(urn)
    actor.run()
    return actor


def from_a_thread(body: Callable[[], object]) -> asyncio.Future[object]:
    """Run `body` on another thread; virtual time waits for it."""
    return virtual_loop().run_in_executor(None, body)


# -- from the loop --


def test_an_ask_is_answered_on_the_loop() -> None:
    async def body() -> None:
        actor = started()
        assert await actor.actor_ref.ask("hello", block=False) == "hello"
        assert actor.threads == {threading.get_ident()}

    run_virtual(body())


def test_an_actor_is_started_as_pykka_starts_them() -> None:
    async def body() -> None:
        ref = Echo.start("echo-1")
        assert await ref.ask("hello", block=False) == "hello"
        assert (ref.actor_urn, pykka.ActorRegistry.get_all()) == ("echo-1", [])

    run_virtual(body())


def test_messages_are_handled_in_order() -> None:
    async def body() -> None:
        actor = started()
        for number in range(1_000):
            actor.actor_ref.tell(number)
        await actor.actor_ref.ask("last", block=False)
        assert actor.seen == [*range(1_000), "last"]

    run_virtual(body())


def test_a_busy_actor_lets_the_loop_have_its_turn() -> None:
    async def body() -> None:
        actor = started()
        for number in range(1_000):
            actor.actor_ref.tell(number)
        await asyncio.sleep(0)
        assert 0 < len(actor.seen) < 1_000
        await actor.actor_ref.ask("last", block=False)

    run_virtual(body())


def test_messages_sent_before_the_actor_starts_are_handled_then() -> None:
    async def body() -> None:
        actor = Echo()
        early = actor.actor_ref.ask("early", block=False)
        await asyncio.sleep(0)
        assert actor.seen == []
        actor.run()
        assert await early == "early"

    run_virtual(body())


def test_an_actor_may_send_to_itself_and_to_others_while_it_handles_a_message() -> None:
    class Relay(Echo):
        def on_receive(self, message: Any) -> Any:
            if message == "go":
                self.actor_ref.tell("later")
            return super().on_receive(message)

    async def body() -> None:
        actor = Relay()
        actor.run()
        await actor.actor_ref.ask("go", block=False)
        await actor.actor_ref.ask("end", block=False)
        assert actor.seen == ["go", "later", "end"]

    run_virtual(body())


def test_a_blocking_get_on_the_loops_thread_is_refused_and_awaiting_works() -> None:
    async def body() -> None:
        actor = started()
        asked = actor.actor_ref.ask("hello", block=False)
        with pytest.raises(BlockingAskRefused):
            asked.get()
        with pytest.raises(BlockingAskRefused):
            actor.actor_ref.ask("hello")
        assert await asked == "hello"
        assert asked.get() == "hello", "an answer that is there may be taken anywhere"

    run_virtual(body())


# -- from other threads --


def test_another_thread_may_tell_ask_and_wait() -> None:
    async def body() -> None:
        actor = started()

        def elsewhere() -> list[object]:
            actor.actor_ref.tell("one")
            return [actor.actor_ref.ask("two"), actor.actor_ref.ask("three", timeout=5)]

        assert await from_a_thread(elsewhere) == ["two", "three"]
        assert actor.seen == ["one", "two", "three"]
        assert actor.threads == {threading.get_ident()}

    run_virtual(body())


def test_many_threads_lose_no_message() -> None:
    async def body() -> None:
        actor = started()

        def elsewhere(name: int) -> None:
            for number in range(200):
                actor.actor_ref.tell((name, number))

        await asyncio.gather(*(from_a_thread(partial(elsewhere, name)) for name in range(4)))
        await actor.actor_ref.ask("last", block=False)
        for name in range(4):
            sent: list[object] = [(name, number) for number in range(200)]
            assert [message for message in actor.seen if message in sent] == sent

    run_virtual(body())


def test_a_thread_may_send_while_the_mailbox_is_left_to_the_next_actor() -> None:
    handled: list[object] = []

    class LetGo(Mailbox):
        """The actor is detached just before the loop is told of the first message."""

        def _schedule(self) -> None:
            if not handled:
                handled.append("let go")
                self.unbind()
            super()._schedule()

    async def body() -> None:
        mailbox = LetGo()

        def drain() -> None:
            while (envelope := mailbox.take()) is not None:
                handled.append(envelope.message)

        loop = asyncio.get_running_loop()
        mailbox.bind(loop, drain)
        for message in ("one", "two"):
            await from_a_thread(partial(mailbox.put, Envelope(message)))
        mailbox.bind(loop, drain)
        await from_a_thread(partial(mailbox.put, Envelope("three")))
        await asyncio.sleep(1)

    run_virtual(body())
    assert handled == ["let go", "one", "two", "three"]


def test_an_error_is_raised_where_it_is_asked_for() -> None:
    async def body() -> None:
        actor = started()
        with pytest.raises(ValueError, match="boom"):
            await actor.actor_ref.ask(ValueError("boom"), block=False)

        def elsewhere() -> None:
            with pytest.raises(ValueError, match="bang"):
                actor.actor_ref.ask(ValueError("bang"))

        await from_a_thread(elsewhere)
        assert await actor.actor_ref.ask("still here", block=False) == "still here"

    run_virtual(body())


def test_an_answer_may_be_awaited_on_another_loop() -> None:
    async def body() -> None:
        actor = started()

        def elsewhere() -> object:
            async def other() -> object:
                return await actor.actor_ref.ask("hello", block=False)

            return asyncio.run(other())

        assert await from_a_thread(elsewhere) == "hello"

    run_virtual(body())


def test_a_wait_in_another_thread_may_be_bounded() -> None:
    async def body() -> None:
        def elsewhere() -> None:
            with pytest.raises(pykka.Timeout):
                LoopFuture[int]().get(timeout=0.01)

        await from_a_thread(elsewhere)

    run_virtual(body())


# -- futures --


def test_a_future_may_be_awaited_by_many_and_again() -> None:
    async def body() -> None:
        future = LoopFuture[int]()

        async def wait() -> int:
            return await future

        waiting = [asyncio.ensure_future(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        future.set(7)
        assert await asyncio.gather(*waiting) == [7, 7, 7]
        assert await future == 7

    run_virtual(body())


def test_a_future_may_be_set_to_none() -> None:
    async def body() -> None:
        future = LoopFuture[object]()
        future.set()
        assert await future is None
        assert future.get() is None

    run_virtual(body())


def test_a_future_takes_the_exception_that_is_being_handled() -> None:
    future = LoopFuture[int]()
    try:
        raise ValueError("boom")
    except ValueError:
        future.set_exception()
    with pytest.raises(ValueError, match="boom"):
        future.get()


def test_whoever_stops_waiting_for_a_future_disturbs_nobody() -> None:
    async def body() -> None:
        future = LoopFuture[int]()

        async def wait() -> int:
            return await future

        leaving, staying = asyncio.ensure_future(wait()), asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        future.set(1)
        assert await staying == 1
        assert leaving.cancelled()

    run_virtual(body())


@pytest.mark.parametrize("name", ["map", "join", "stop"])
def test_what_pykka_derives_from_a_future_is_answered(name: str) -> None:
    async def body() -> None:
        actor = started()

        def elsewhere() -> None:
            asked = actor.actor_ref.ask(1, block=False)
            match name:
                case "map":
                    assert asked.map(lambda value: value + 1).get(timeout=0.2) == 2
                case "join":
                    assert list(asked.join(asked).get(timeout=0.2)) == [1, 1]
                case _:
                    assert actor.actor_ref.stop(timeout=0.2)

        await from_a_thread(elsewhere)

    run_virtual(body())


# -- the end --


def test_a_stopped_actor_refuses_messages() -> None:
    async def body() -> None:
        actor = started()
        actor.stop()
        await asyncio.sleep(0)
        assert actor.ended == ["stop"]
        assert not actor.actor_ref.is_alive()
        with pytest.raises(MailboxClosed):
            actor.actor_inbox.put(pykka_envelope("late"))
        with pytest.raises(pykka.ActorDeadError):
            actor.actor_ref.tell("late")
        with pytest.raises(pykka.ActorDeadError):
            await actor.actor_ref.ask("late", block=False)

    run_virtual(body())


def test_a_stopped_actor_is_free_at_once_and_not_left_to_the_garbage_collector() -> None:
    async def body() -> None:
        actor = started()
        await actor.actor_ref.ask("hello", block=False)
        await asyncio.sleep(0)
        actor.stop()
        await asyncio.sleep(0)
        there = weakref.ref(actor)
        gc.disable()
        try:
            del actor
            assert there() is None
        finally:
            gc.enable()

    run_virtual(body())


def test_what_was_sent_before_the_stop_is_handled_and_what_came_after_it_is_answered() -> None:
    async def body() -> None:
        actor = started()
        before = actor.actor_ref.ask("before", block=False)
        actor.stop()
        after = actor.actor_ref.ask("after", block=False)
        assert await before == "before"
        with pytest.raises(MailboxClosed):
            await after
        assert actor.seen == ["before"]

    run_virtual(body())


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
)
def test_an_error_nobody_asked_for_stops_this_actor_and_no_other(
    error: BaseException, logs: Logs
) -> None:
    async def body() -> None:
        failing, other = started("failing"), started("other")
        failing.actor_ref.tell(error)
        behind = failing.actor_ref.ask("behind", block=False)
        with pytest.raises(MailboxClosed):
            await behind
        assert failing.ended == ["failure"]
        assert await other.actor_ref.ask("hello", block=False) == "hello"

    run_virtual(body())
    assert [entry["event"] for entry in logs] == ["actor_failed"]
    assert logs[0]["actor"] == "failing"


def test_what_an_answer_raises_where_it_is_heard_keeps_no_other_message_waiting() -> None:
    told: list[object] = []

    def fail() -> None:
        raise ValueError("of who has asked")

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(str(context.get("exception")))
        )
        actor = started()
        first, second = LoopFuture[str](), LoopFuture[str]()
        first.when_set(fail)
        actor.mailbox.put(Envelope("one", reply_to=first))
        actor.mailbox.put(Envelope("two", reply_to=second))
        async with asyncio.timeout(10):
            assert await second == "two"

    asyncio.run(body())
    assert told == ["of who has asked"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_base_exception_that_was_asked_for_goes_to_who_asked(error: BaseException) -> None:
    async def body() -> None:
        actor = started()
        with pytest.raises(type(error)):
            await actor.actor_ref.ask(error, block=False)
        assert await actor.actor_ref.ask("hello", block=False) == "hello"

    run_virtual(body())


def test_an_error_while_stopping_is_logged_and_the_actor_is_stopped(logs: Logs) -> None:
    class Clinging(Echo):
        def on_stop(self) -> None:
            raise ValueError("not yet")

    async def body() -> None:
        actor = Clinging()
        actor.run()
        await actor.actor_ref.ask("hello", block=False)
        actor.stop()
        await asyncio.sleep(0)
        assert not actor.actor_ref.is_alive()

    run_virtual(body())
    assert [entry["event"] for entry in logs] == ["actor_failed"]


def test_an_actor_whose_start_fails_takes_no_messages(logs: Logs) -> None:
    class Stillborn(Echo):
        def on_start(self) -> None:
            raise ValueError("no")

    async def body() -> None:
        actor = Stillborn()
        actor.run()
        with pytest.raises(pykka.ActorDeadError):
            await actor.actor_ref.ask("hello", block=False)

    run_virtual(body())
    assert [entry["event"] for entry in logs] == ["actor_failed"]


# -- many --


def test_ten_thousand_idle_actors_hold_no_threads_and_no_place_in_a_registry() -> None:
    async def body() -> None:
        threads = threading.active_count()
        actors = [started(f"echo-{number}") for number in range(10_000)]
        answers = [actor.actor_ref.ask(1, block=False) for actor in actors]
        assert sum([await answer for answer in answers]) == 10_000
        assert threading.active_count() == threads
        assert pykka.ActorRegistry.get_all() == []

    run_virtual(body())


def test_a_ref_keeps_its_actor_and_an_actor_that_nobody_keeps_is_gone() -> None:
    async def body() -> None:
        ref = started().actor_ref
        gc.collect()
        assert await ref.ask("hello", block=False) == "hello"

        actor = started()
        left = weakref.ref(actor)
        await actor.actor_ref.ask("hello", block=False)
        await asyncio.sleep(0)
        del actor
        gc.collect()
        assert left() is None

    run_virtual(body())


def test_an_idle_actor_is_small() -> None:
    async def body() -> None:
        actor = LoopActor("x")
        actor.run()
        parts = (actor, actor.__dict__, actor.mailbox, actor.actor_stopped, actor.actor_ref)
        assert sum(sys.getsizeof(part) for part in parts) < 2_000

    run_virtual(body())


def pykka_envelope(message: object) -> Any:
    from pykka._envelope import Envelope

    return Envelope(message)
