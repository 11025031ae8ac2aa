"""Actors' turns on asyncio's own loop: one callback for all that are due."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from functools import partial

import pytest

from outlive.actors.turns import turns_of
from outlive.testing import Simulation


def rounds_of(loop: asyncio.AbstractEventLoop, count: int) -> None:
    for _ in range(count):
        loop.run_until_complete(asyncio.sleep(0))


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    given: list[int] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        soon = turns_of(loop)
        for number in range(3):  # No loop runs here: it is asked all the same.
            soon(partial(given.append, number))
        assert not given
        rounds_of(loop, 1)
    assert given == [0, 1, 2]


def test_a_turn_that_is_asked_for_in_a_turn_follows_those_that_were_due() -> None:
    given: list[str] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        soon = turns_of(loop)

        def first() -> None:
            given.append("first")
            soon(lambda: given.append("third"))
            loop.call_soon(given.append, "the next round")

        soon(first)
        soon(lambda: given.append("second"))
        rounds_of(loop, 2)
    assert given == ["first", "second", "third", "the next round"]


def test_turns_that_ask_for_turns_without_an_end_let_the_loop_go_on() -> None:
    given: list[str] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        soon = turns_of(loop)

        def again() -> None:
            given.append("turn")
            soon(again)

        soon(again)
        loop.call_soon(given.append, "another callback")
        rounds_of(loop, 2)
    assert given[:9] == ["turn"] * 4 + ["another callback"] + ["turn"] * 4


def test_one_that_raises_takes_no_other_along_and_is_told_as_asyncio_tells_it() -> None:
    given, told = list[str](), list[object]()

    def fail() -> None:
        raise ValueError("boom")

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        soon = turns_of(loop)
        soon(fail)
        soon(lambda: given.append("after"))
        rounds_of(loop, 1)
    assert given == ["after"]
    assert told == ["boom"]


def test_each_loop_has_turns_of_its_own() -> None:
    given: list[str] = []
    with asyncio.Runner() as one, asyncio.Runner() as other:
        turns_of(one.get_loop())(lambda: given.append("one"))
        turns_of(other.get_loop())(lambda: given.append("other"))
        rounds_of(other.get_loop(), 1)
        assert given == ["other"]
        rounds_of(one.get_loop(), 1)
    assert given == ["other", "one"]


def test_a_loop_that_is_not_asyncios_own_is_asked_for_each_turn() -> None:
    with Simulation([]) as simulation:
        assert turns_of(simulation.loop) == simulation.loop.call_soon


def test_a_loop_that_is_closed_refuses_each_turn() -> None:
    loop = asyncio.new_event_loop()
    soon = turns_of(loop)
    loop.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            soon(lambda: None)


def test_a_turn_sees_no_context_variables_of_who_asked_first() -> None:
    variable, given = ContextVar[str]("variable"), list[str | None]()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        soon = turns_of(loop)
        for name in ("one", "other"):
            context = copy_context()
            context.run(variable.set, name)
            context.run(soon, lambda: given.append(variable.get(None)))
        rounds_of(loop, 1)
    assert given == [None, None]
