"""The pytest plugin, in pytests of its own: alone, beside others, and spread over processes."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import entry_points
from typing import Any

import pytest

from outlive import pytest_plugin
from outlive.actors import Agent, EchoModel, Runtime, ToolCall, Turn
from outlive.events import InvalidDefinition
from outlive.testing import (
    RuntimeFactory,
    RuntimeOptions,
    ScriptedModelFactory,
    Simulation,
    SimulationOptions,
)

ALONE = ("-p", "no:asyncio", "-p", "no:anyio")
HEAD = """
    import asyncio
    import pytest
    from outlive.actors import Agent, EchoModel, Retry, ToolCall, tool
    from outlive.events import ToolCallFailed

    echo = Agent("echo", model=EchoModel())

    def looker(model):
        tried = []

        @tool(read_only=True, retry=Retry(1, delay=3_600, max_delay=3_600, jitter=0))
        async def look() -> str:
            '''Look.'''
            tried.append("x")
            if len(tried) == 1:
                raise ConnectionError("not yet")
            return "seen"

        return Agent("looker", model=model, tools=[look])
"""
TESTS = """
    {mark}
    async def test_in_memory(runtime):
        async with runtime(agents=[echo]) as rt:
            assert (await rt.run(echo, "hello")).unwrap() == "hello"

    {mark}
    async def test_in_a_folder(lmdb_runtime):
        async with lmdb_runtime(agents=[echo]) as rt:
            await rt.run(echo, "hello", run_id="r")
        async with lmdb_runtime(agents=[echo]) as rt:
            assert (await rt.result("r")).unwrap() == "hello"
        assert (lmdb_runtime.folder / "log.json").exists()

    {mark}
    async def test_with_time(runtime, virtual_clock, scripted_model):
        agent = looker(scripted_model(ToolCall("look"), "done"))
        async with runtime(agents=[agent]) as rt:
            run = await rt.start(agent, "go")
            async for record in run.events():
                if isinstance(record.event, ToolCallFailed):
                    break
            virtual_clock.advance("1h")
            assert (await run.result()).unwrap() == "done"
            times = [record.recorded_at_ns async for record in run.events()]
        assert times[-1] - times[0] == 3_600 * 10**9
"""
BY_HAND = """
    def by_hand(test):
        def run(**fixtures):
            asyncio.run(test(**fixtures))
        run.__signature__ = __import__("inspect").signature(test)
        return run
"""
AUTO = ("-o", "asyncio_mode=auto")
STRICT = ("-o", "asyncio_default_fixture_loop_scope=function")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mark", "arguments"),
    [
        ("@by_hand", ALONE),
        ("@pytest.mark.asyncio", (*STRICT, "-p", "no:anyio")),
        ("", (*STRICT, *AUTO)),
        ("@pytest.mark.anyio", (*ALONE[:2],)),
        ("@pytest.mark.anyio", STRICT),
    ],
    ids=["no plugin", "asyncio strict", "asyncio auto", "anyio", "anyio beside asyncio"],
)
def test_runtimes_work_under_whatever_runs_the_test(
    pytester: pytest.Pytester, mark: str, arguments: tuple[str, ...]
) -> None:
    pytester.makeconftest(
        "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    pytester.makepyfile(HEAD + BY_HAND + TESTS.format(mark=mark))
    pytester.runpytest_subprocess("-W", "error", *arguments).assert_outcomes(passed=3)


def test_the_plugin_is_loaded_and_nothing_with_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("outlive")
            ours = {name for name in sys.modules if name.partition(".")[0] == "outlive"}
            assert ours == {"outlive", "outlive.pytest_plugin"}
            assert not sys.modules.keys() & {"hypothesis", "lmdb", "msgspec", "pykka", "structlog"}
        """
    )
    result = pytester.runpytest_subprocess("-W", "error", *ALONE, "--setup-show")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*SETUP*outlive*")


def test_a_pytest_without_the_plugin_works(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from outlive.testing import given\n\ndef test_it():\n    given()\n")
    result = pytester.runpytest_subprocess("-W", "error", *ALONE, "-p", "no:outlive")
    result.assert_outcomes(passed=1)


def test_no_fixture_is_used_by_itself_and_each_is_explained() -> None:
    fixtures: dict[str, Any] = {
        name: value
        for name, value in vars(pytest_plugin).items()
        if type(value).__name__ == "FixtureFunctionDefinition"
    }
    assert fixtures.keys() >= {"runtime", "lmdb_runtime", "virtual_clock", "scripted_model"}
    for fixture in fixtures.values():
        assert not fixture._fixture_function_marker.autouse
        assert inspect.getdoc(fixture)


def test_the_entry_point_is_a_module_beside_the_packages() -> None:
    (entry,) = entry_points(group="pytest11", name="outlive")
    assert entry.value == "outlive.pytest_plugin"


# Seeds

SEEDED = """
    import pytest

    @pytest.fixture
    def drawn(outlive_seed):
        return outlive_seed * 10

    def test_it(drawn, outlive_seed):
        assert drawn == outlive_seed * 10
        print(f"seed is {outlive_seed}")

    def test_other():
        pass
"""


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        ([], {"test_it": 0}),
        (["--outlive-seed=7"], {"test_it": 7}),
        (["--outlive-seed=7", "--outlive-seeds=1"], {"test_it[seed=7]": 7}),
        (["--outlive-seeds=2"], {"test_it[seed=0]": 0, "test_it[seed=1]": 1}),
        (["--outlive-seed=8", "--outlive-seeds=2"], {"test_it[seed=8]": 8, "test_it[seed=9]": 9}),
    ],
)
def test_a_test_is_repeated_with_the_seeds_that_are_asked_for(
    pytester: pytest.Pytester, arguments: list[str], seeds: dict[str, int]
) -> None:
    pytester.makepyfile(SEEDED)
    result = pytester.runpytest_inprocess(*ALONE, "-v", "-s", *arguments)
    result.assert_outcomes(passed=len(seeds) + 1)
    for name, seed in seeds.items():
        result.stdout.re_match_lines([rf".*::{re.escape(name)} seed is {seed}$"])


@pytest.mark.slow
def test_runtimes_and_seeds_are_spread_over_processes(pytester: pytest.Pytester) -> None:
    runtimes = HEAD + BY_HAND + TESTS.format(mark="@by_hand")
    pytester.makepyfile(test_runtimes=runtimes, test_seeds=SEEDED)
    result = pytester.runpytest_subprocess("-W", "error", *ALONE, "-n", "2", "--outlive-seeds=4")
    result.assert_outcomes(passed=3 + 5)


def test_no_seeds_at_all_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDED)
    result = pytester.runpytest_inprocess(*ALONE, "--outlive-seeds=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--outlive-seeds is 1 or more, not 0*"])


# What the fixtures hand out


def test_a_factory_takes_all_options_of_a_runtime_but_those_of_its_log() -> None:
    options = inspect.signature(Runtime).parameters.keys() - {"path", "log"}
    assert RuntimeOptions.__annotations__.keys() == options


def test_a_factory_takes_all_options_of_a_simulation() -> None:
    options = inspect.signature(Simulation).parameters.keys() - {"agents"}
    assert SimulationOptions.__annotations__.keys() == options


def test_what_a_runtime_refuses_is_refused(runtime: RuntimeFactory) -> None:
    echo = Agent("echo", model=EchoModel())
    with pytest.raises(InvalidDefinition, match="two agents"):
        runtime(agents=[echo, echo])
    with pytest.raises(LookupError, match="lmdb_runtime"):
        _ = runtime.folder


def test_a_script_is_written_in_short(scripted_model: ScriptedModelFactory) -> None:
    look = ToolCall("look", {"at": 1})
    model = scripted_model(look, "fine", Turn("slow", delay=1), name="mine")
    assert model.name == "mine"
    script = model._script  # pyright: ignore[reportPrivateUsage]  # what it will play
    assert script == [Turn(tool_calls=[look]), Turn("fine"), Turn("slow", delay=1)]
