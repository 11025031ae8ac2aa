"""How a simulation ends, and its processes: in good order, or in the middle of something."""

from __future__ import annotations

import asyncio

import structlog

from outlive.actors import Agent, EchoModel, Runtime, ScriptedModel, Turn
from outlive.events import run_stream
from outlive.testing import Client, Point, Simulation, World, assert_survives_crashes
from tests.support.people import agent, ask

ECHO = Agent("echo", model=EchoModel())
SLOW = Agent("slow", model=ScriptedModel([Turn(text="one two three", delay=5.0)]))


def test_a_runtime_is_closed_in_good_order_and_the_next_one_goes_on() -> None:
    with Simulation([SLOW]) as simulation:
        run_id = simulation.start("slow", "go")
        simulation.stop()
        assert simulation.life is None
        assert simulation.disk.clean
        assert simulation.result(run_id).unwrap() == "one two three"


def test_clients_that_wait_while_it_closes_are_answered_by_the_next_one() -> None:
    with Simulation([SLOW]) as simulation:
        run_id = simulation.start("slow", "go")
        waiting = simulation.spawn(simulation.client.result(run_id))
        simulation.go_on(3)
        simulation.stop()
        simulation.run_until_idle()
        assert waiting.result().output == "one two three"


def last_points(seed: int) -> list[Point]:
    """Where a process comes by that is closed while a start has just been asked for."""
    with Simulation([ECHO], seed=seed) as simulation:
        simulation.run_until_up()
        simulation.spawn(simulation.client.start("echo", "go", run_id="one"))
        simulation.go_on(4, at_most=0.0)
        simulation.stop()
        return simulation.points.passed


def test_a_process_that_dies_of_its_last_write_has_not_closed_in_good_order() -> None:
    seed = next(seed for seed in range(50) if last_points(seed))
    with Simulation([ECHO], seed=seed, crash_at={1: "kill"}) as simulation:
        simulation.run_until_up()
        started = simulation.spawn(simulation.client.start("echo", "go", run_id="one"))
        simulation.go_on(4, at_most=0.0)
        simulation.stop()
        assert simulation.deaths == 1
        assert not simulation.disk.clean
        simulation.run_until_idle()
        assert started.result() == "one"


def test_a_simulation_ends_while_a_client_waits_for_the_next_process() -> None:
    with Simulation([SLOW]) as simulation:
        simulation.start("slow", "go", run_id="one")
        simulation.crash()
        waiting = simulation.spawn(simulation.client.result("one"))
        simulation.go_on(1, at_most=0.0)
    assert not waiting.done()


def test_a_client_may_give_up_while_it_waits_for_the_next_process() -> None:
    with Simulation([SLOW]) as simulation:
        simulation.start("slow", "go", run_id="one")
        simulation.crash()
        waiting = simulation.spawn(simulation.client.result("one"))
        simulation.go_on(1, at_most=0.0)
        waiting.cancel()
        simulation.run_until_idle()
        assert waiting.cancelled()


async def version_of(rt: Runtime, run_id: str) -> int:
    return rt.log.version(run_stream(run_id))


def test_a_run_may_be_observed_by_several_and_by_one_that_sees_nothing() -> None:
    async def observe(client: Client, after: int) -> list[str]:
        return [type(event).__name__ async for event in client.observe("one", after=after)]

    async def observed(client: Client) -> list[str]:
        await client.start("echo", "go", run_id="one")
        found = await asyncio.gather(*[observe(client, after) for after in (0, 0, 2)])
        end = await client.call(lambda rt: version_of(rt, "one"))
        assert await observe(client, end) == []
        return [events[-1] for events in found]

    def agents(world: World) -> list[Agent]:
        return [ECHO]

    assert_survives_crashes(observed, agents, second_crashes=0)


def test_a_process_that_was_replaced_while_it_was_frozen_finds_out_without_a_write() -> None:
    with Simulation([agent([ask])]) as simulation:
        simulation.start("a", "go", run_id="one")
        assert simulation.result("one").status == "suspended"
        seen = len(simulation.events("one"))
        following = simulation.spawn(simulation.client.wait_for_more("one", after=seen))
        simulation.advance(1.0)
        simulation.freeze()
        simulation.run(lambda rt: rt.resume("one", "x"))
        assert not following.done()
        simulation.thaw()
        simulation.run_until_idle()
        following.result()


def test_logs_are_kept_however_structlog_is_configured() -> None:
    before = structlog.get_config()
    try:
        structlog.configure(processors=(structlog.processors.KeyValueRenderer(),))
        with Simulation([SLOW], max_recoveries=0) as simulation:
            simulation.start("slow", "go")
            simulation.crash()
            simulation.run_until_idle()
            assert [line.event for line in simulation.logs if line.is_trouble]
    finally:
        structlog.configure(**before)
