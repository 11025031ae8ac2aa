"""The pytest plugin. Every pytest loads it beside Outlive, so it imports nothing but pytest.

What a fixture needs is imported when the fixture is used. No fixture is used by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from outlive.testing import (
        Point,
        RuntimeFactory,
        ScriptedModelFactory,
        SimulationFactory,
        VirtualClock,
        World,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them prefixed `--outlive-`."""
    group = parser.getgroup("outlive", "agents that outlive the request")
    group.addoption(
        "--outlive-seed",
        type=int,
        metavar="SEED",
        help="the (first) seed of crash sweeps and of tests that use `outlive_seed` (default: 0)",
    )
    group.addoption(
        "--outlive-seeds",
        type=int,
        metavar="N",
        help="repeat each test that uses `outlive_seed` for so many seeds, from --outlive-seed on",
    )
    group.addoption(
        "--outlive-crash-points",
        metavar="POINTS",
        help="crash simulations at these points only, as '17' or '17:freeze,19:kill'",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot hold; hand on what simulations want to know."""
    seeds: int | None = config.getoption("--outlive-seeds")
    if seeds is not None and seeds < 1:
        raise pytest.UsageError(f"--outlive-seeds is 1 or more, not {seeds}")
    seed: int | None = config.getoption("--outlive-seed")
    crashes: str | None = config.getoption("--outlive-crash-points")
    if (seed, seeds, crashes) != (None, None, None):
        from outlive.testing import _settings

        try:
            _settings.configure(seed=seed, seeds=seeds, crash_at=crashes)
        except ValueError as error:
            raise pytest.UsageError(f"--outlive-crash-points: {error}") from None
        config.add_cleanup(_settings.configure)  # One pytest may run within another.


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat a test that uses `outlive_seed` for the seeds that were asked for."""
    seeds: int | None = metafunc.config.getoption("--outlive-seeds")
    if "outlive_seed" not in metafunc.fixturenames or seeds is None:
        return
    first: int = metafunc.config.getoption("--outlive-seed") or 0
    numbers = range(first, first + seeds)
    metafunc.parametrize("outlive_seed", numbers, ids=[f"seed={number}" for number in numbers])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a test that has failed what its simulations have done, and how to see it again."""
    report = yield
    made: object = getattr(item, "funcargs", {}).get("simulation")
    if made is not None and call.when == "call" and report.failed:
        from outlive.testing import SimulationFactory

        if isinstance(made, SimulationFactory):
            report.sections += [("a simulation of this test", text) for text in made.told()]
    return report


@pytest.fixture
def outlive_seed(request: pytest.FixtureRequest) -> int:
    """What this test draws its randomness from; 0 unless --outlive-seed says otherwise."""
    seed: int | None = request.config.getoption("--outlive-seed")
    return seed or 0


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that stands still until the test moves it; runtimes of this test go by it."""
    from outlive.testing import VirtualClock

    return VirtualClock()


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> RuntimeFactory:
    """Makes runtimes that keep everything in memory, each a log of its own.

    `async with runtime(agents=[...]) as rt:`, under whatever runs the test's coroutine.
    If the test uses `virtual_clock`, they go by it.
    """
    from outlive.testing import RuntimeFactory

    return RuntimeFactory(None, _clock(request))


@pytest.fixture
def lmdb_runtime(request: pytest.FixtureRequest, tmp_path: Path) -> RuntimeFactory:
    """Makes runtimes on a folder of this test's own, one after the other.

    `async with lmdb_runtime(agents=[...]) as rt:`; `lmdb_runtime.folder` is the folder.
    If the test uses `virtual_clock`, they go by it.
    """
    from outlive.testing import RuntimeFactory

    return RuntimeFactory(tmp_path / "outlive", _clock(request))


@pytest.fixture
def world() -> World:
    """The outside world: counts what tools do to it. The simulations of this test share it."""
    from outlive.testing import World

    return World()


@pytest.fixture
def simulation(request: pytest.FixtureRequest, outlive_seed: int) -> Iterator[SimulationFactory]:
    """What makes simulations; they end with the test.

    `sim = simulation(agents)` takes what `outlive.testing.Simulation` takes. If the test uses
    `world`, that is theirs.
    """
    from outlive.testing import SimulationFactory

    uses_world = "world" in request.fixturenames
    world: World | None = request.getfixturevalue("world") if uses_world else None
    with SimulationFactory(seed=outlive_seed, world=world) as factory:
        yield factory


@pytest.fixture
def crash_points(outlive_seed: int) -> Callable[..., list[Point]]:
    """What tells the points of a scenario, with this test's seed unless another one is given.

    `for point in crash_points(scenario, agents)`: see `outlive.testing.crash_points`.
    """
    from functools import partial

    from outlive.testing import crash_points

    return partial(crash_points, seed=outlive_seed)


@pytest.fixture
def scripted_model() -> ScriptedModelFactory:
    """Makes models that need no network: `scripted_model(ToolCall("look"), "It is fine.")`."""
    from outlive.testing import ScriptedModelFactory

    return ScriptedModelFactory()


def _clock(request: pytest.FixtureRequest) -> VirtualClock | None:
    if "virtual_clock" not in request.fixturenames:
        return None
    clock: VirtualClock = request.getfixturevalue("virtual_clock")
    return clock
