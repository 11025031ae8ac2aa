"""The pytest plugin. Every pytest loads it beside Outlive, so it imports nothing but pytest.

What a fixture needs is imported when the fixture is used. No fixture is used by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from outlive.testing import RuntimeFactory, ScriptedModelFactory, VirtualClock


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them prefixed `--outlive-`."""
    group = parser.getgroup("outlive", "agents that outlive the request")
    group.addoption(
        "--outlive-seed",
        type=int,
        metavar="SEED",
        help="the (first) seed of tests that use `outlive_seed` (default: 0)",
    )
    group.addoption(
        "--outlive-seeds",
        type=int,
        metavar="N",
        help="repeat each of these tests with so many seeds, from --outlive-seed on (default: 1)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot hold."""
    seeds: int | None = config.getoption("--outlive-seeds")
    if seeds is not None and seeds < 1:
        raise pytest.UsageError(f"--outlive-seeds is 1 or more, not {seeds}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat a test that uses `outlive_seed` for the seeds that were asked for."""
    seed: int | None = metafunc.config.getoption("--outlive-seed")
    seeds: int | None = metafunc.config.getoption("--outlive-seeds")
    if "outlive_seed" not in metafunc.fixturenames or (seed is None and seeds is None):
        return
    first = seed or 0
    numbers = range(first, first + (seeds or 1))
    metafunc.parametrize("outlive_seed", numbers, ids=[f"seed={number}" for number in numbers])


@pytest.fixture
def outlive_seed() -> int:
    """What this test draws its randomness from; 0 unless --outlive-seed says otherwise."""
    return 0


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
def scripted_model() -> ScriptedModelFactory:
    """Makes models that need no network: `scripted_model(ToolCall("look"), "It is fine.")`."""
    from outlive.testing import ScriptedModelFactory

    return ScriptedModelFactory()


def _clock(request: pytest.FixtureRequest) -> VirtualClock | None:
    if "virtual_clock" not in request.fixturenames:
        return None
    clock: VirtualClock = request.getfixturevalue("virtual_clock")
    return clock
