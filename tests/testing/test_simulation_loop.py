"""What a simulation's loop keeps, and what it leaves as it was."""

from __future__ import annotations

import asyncio
import gc
import weakref
from base64 import b32encode
from collections.abc import AsyncGenerator, Callable, Generator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any

import pytest
import structlog

from outlive.actors import Agent, EchoModel, ScriptedModel, ToolCall, Turn, tool
from outlive.events import (
    MemoryLog,
    OpenEntry,
    Signal,
    SignalReceived,
    ThreadCreated,
    Version,
    run_stream,
    thread_stream,
)
from outlive.testing import Simulation
from outlive.testing._invariants import InvariantViolated
from outlive.testing._simulation.life import SeededIds
from outlive.testing._simulation.loop import Stuck

ECHO = Agent("echo", model=EchoModel())


@contextmanager
def collecting_every(new_objects: int) -> Generator[None]:
    before = gc.get_threshold()
    gc.set_threshold(new_objects, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def test_the_garbage_collector_looks_seldom_while_there_is_a_simulation_and_then_as_before() -> (
    None
):
    seen: list[int] = []

    async def look() -> None:
        seen.append(gc.get_threshold()[0])

    with collecting_every(700):
        before = gc.get_threshold()
        with Simulation() as simulation:
            assert gc.get_threshold()[0] > 700
        assert gc.get_threshold() == before
        simulation = Simulation()
        simulation.drive(look())
        assert gc.get_threshold() == before
        with pytest.raises(Stuck):
            simulation.loop.run_until_complete(simulation.loop.create_future())
        assert gc.get_threshold() == before
        simulation.close()
    assert seen[0] > 700


@pytest.mark.parametrize("chosen", [0, 1_000_000])
def test_who_has_chosen_how_often_it_looks_is_left_that(chosen: int) -> None:
    seen: list[int] = []

    async def look() -> None:
        seen.append(gc.get_threshold()[0])

    with collecting_every(chosen), Simulation() as simulation:
        simulation.drive(look())
        assert gc.get_threshold()[0] == chosen
    assert seen == [chosen]


def test_it_looks_as_before_in_whatever_order_simulations_end() -> None:
    with collecting_every(700):
        one, other = ExitStack(), ExitStack()
        one.enter_context(Simulation())
        other.enter_context(Simulation())
        one.close()
        other.close()
        assert gc.get_threshold()[0] == 700


def test_who_chooses_how_often_it_looks_meanwhile_is_left_that_too() -> None:
    with collecting_every(700):
        before = gc.get_threshold()
        with Simulation():
            gc.set_threshold(1_000, *before[1:])
        assert gc.get_threshold()[0] == 1_000


class Somebody:
    def act(self) -> None:
        """Nothing comes of it."""


def test_whose_turn_was_cancelled_is_kept_until_then_lest_another_be_taken_for_it() -> None:
    with Simulation() as simulation:
        simulation.run_until_up()
        somebody = Somebody()
        alive = weakref.ref(somebody)
        simulation.loop.call_soon(somebody.act).cancel()
        del somebody
        assert alive() is not None
        simulation.loop.run_until(lambda: not simulation.loop.ready)
        assert alive() is None


def test_ids_are_in_base_32_as_those_of_a_runtime_are() -> None:
    ids, random = SeededIds(Random("seed")), Random("seed")
    for _ in range(20):
        assert ids.run_id() == b32encode(random.randbytes(10)).decode().lower()


def test_without_invariants_the_end_still_finds_a_run_that_nobody_moves_on() -> None:
    with Simulation([ECHO], invariants=False) as simulation:
        simulation.start("echo", "go")
        simulation.run_until_idle()
        simulation.disk.store.open[run_stream("left")] = OpenEntry(kind="run", status="running")
        with pytest.raises(InvariantViolated, match="nothing is left in between"):
            simulation.run_until_idle()


def test_without_invariants_the_end_still_reads_what_was_said_on_threads() -> None:
    said = SignalReceived(signal_id="s", signal=Signal(text="hear"), action="woken", run_id="r")
    with Simulation([ECHO], invariants=False) as simulation:
        simulation.start("echo", "go")
        simulation.run_until_idle()
        MemoryLog(clock=simulation.clock, store=simulation.disk.store).append(
            thread_stream("t"),
            [ThreadCreated(resource_id="u"), said],
            expected_version=Version(0),
            entry=None,
        )
        with pytest.raises(InvariantViolated):
            simulation.run_until_idle()


def test_what_is_logged_in_other_threads_is_not_kept_and_its_processors_are_put_back() -> None:
    log, heard = structlog.get_logger(), list[str]()

    def hear(_: object, level: str, facts: MutableMapping[str, Any]) -> Any:
        heard.append(facts["event"])
        raise structlog.DropEvent

    processors: list[Any] = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [hear]
    try:
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:

            def do(where: ThreadPoolExecutor, what: Callable[[], object]) -> None:
                where.submit(what).result()

            of_one, of_other = Simulation(), Simulation()
            keeps_one, keeps_other = of_one.logs.kept(), of_other.logs.kept()
            do(one, keeps_one.__enter__)
            do(other, keeps_other.__enter__)
            do(one, lambda: log.info("of one"))
            do(other, lambda: log.info("of other"))
            log.info("of none")
            do(one, lambda: keeps_one.__exit__(None, None, None))
            do(other, lambda: log.info("of other, again"))
            do(other, lambda: keeps_other.__exit__(None, None, None))
        assert processors == [hear]
    finally:
        processors[:] = before
    assert [line.event for line in of_one.logs] == ["of one"]
    assert [line.event for line in of_other.logs] == ["of other", "of other, again"]
    assert heard == ["of none"]
    of_one.close()
    of_other.close()


def test_what_a_sync_tool_logs_in_its_thread_is_kept() -> None:
    @tool(read_only=True)
    def say() -> None:
        """Log."""
        structlog.get_logger().info("said")

    model = ScriptedModel([Turn(tool_calls=[ToolCall("say")]), Turn("done")])
    with Simulation([Agent("a", model=model, tools=[say])]) as simulation:
        simulation.start("a", "go")
        simulation.run_until_idle()
        assert "said" in [line.event for line in simulation.logs]


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_a_generator_goes_on_to_its_end_where_it_is_dropped_and_not_where_it_is_found_by_chance(
    in_a_cycle: bool,
) -> None:
    closed: list[str] = []

    async def pages() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            closed.append("closed")

    async def look() -> None:
        generator = pages()
        await anext(generator)
        if in_a_cycle:
            held: list[object] = [generator]
            held.append(held)

    async def rest() -> None:
        await look()
        gc.collect()
        await asyncio.sleep(1)

    with Simulation() as simulation:
        simulation.drive(rest())
        steps = simulation.loop.steps
    gc.collect()
    assert closed == ([] if in_a_cycle else ["closed"])
    with Simulation() as simulation:
        simulation.drive(asyncio.sleep(1))
        assert (steps == simulation.loop.steps) is in_a_cycle
