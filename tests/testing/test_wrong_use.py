"""What cannot be meant is refused, rather than passed as if nothing were wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from outlive.actors import Agent, EchoModel
from outlive.testing import AgentMachine, Client, Simulation, assert_survives_crashes

ECHO = [Agent("echo", model=EchoModel())]


async def echo(client: Client) -> str:
    return (await client.run("echo", "hi")).output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fates": "kill"}, "fates are some of .*, not 'kill'"),
        ({"fates": ["explode"]}, "fates are some of"),
        ({"fates": []}, "fates are some of"),
        ({"orders": -1}, "orders is 0 or more, not -1"),
        ({"second_crashes": 1.5}, "second_crashes is 0 or more"),
        ({"at_most_once": "launch"}, r"at_most_once is a list of names, as \['launch'\]"),
        ({"crash_at": {0: "kill"}}, "points are numbers from 1, unlike 0"),
        ({"crash_at": {"3": "kill"}}, "points are numbers from 1, unlike '3'"),
        ({"crash_at": {3: "explode"}}, "a fate is 'kill' or 'freeze', not 'explode'"),
        ({"crash_at": [3]}, r"crash_at is as .*, not \[3\]"),
        ({"durability": "none"}, "durability"),
    ],
    ids=str,
)
def test_a_sweep_refuses_what_would_crash_nothing(options: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        assert_survives_crashes(echo, ECHO, **options)


@pytest.mark.parametrize(
    "options",
    [{"restart_after": -1}, {"late": -1.0}, {"crash_at": {1: "explode"}}, {"durability": ""}],
    ids=str,
)
def test_a_simulation_refuses_what_cannot_be(options: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Simulation(ECHO, **options)


def test_a_machine_refuses_a_name_for_names() -> None:
    class Mistaken(AgentMachine):
        agents = ECHO
        starts = st.just(("echo", "hi"))
        at_most_once = "launch"

    with pytest.raises(ValueError, match="list of names"):
        run_state_machine_as_test(Mistaken, settings=settings(max_examples=1))


def plain(client: Client) -> None:
    """Not async."""


async def several(client: Client) -> Any:
    yield 1


@pytest.mark.parametrize("scenario", [plain, several])
def test_a_scenario_is_an_async_function(scenario: Callable[[Client], Any]) -> None:
    with pytest.raises(TypeError, match="a scenario is an async function of a Client, it returned"):
        assert_survives_crashes(scenario, ECHO)


def test_what_is_over_says_so() -> None:
    with Simulation(ECHO) as sim:
        run_id = sim.start("echo", "hi")
    with pytest.raises(RuntimeError, match="the simulation is over"):
        sim.result(run_id)


def test_a_client_is_of_no_use_on_another_loop() -> None:
    with Simulation(ECHO) as sim, pytest.raises(RuntimeError, match=r"Simulation\.drive"):
        asyncio.run(echo(sim.client))
