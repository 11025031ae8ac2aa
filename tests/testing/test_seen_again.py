"""The command that a failed test prints shows the same again, whatever the test is like."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

# What a pytest within this one were the first to import, it would take away again.
import outlive.testing  # noqa: F401  # pyright: ignore[reportUnusedImport]  # see above

pytestmark = pytest.mark.slow
ALONE = ("-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider")
HEAD = """
    import unittest
    import pytest
    from outlive.actors import Agent, ScriptedModel, ToolCall, ToolContext, Turn, tool
    from outlive.testing import Simulation, assert_survives_crashes

    @tool(in_doubt="retry")
    async def send(ctx: ToolContext) -> str:
        '''Send a mail, under a new key each time.'''
        ctx.deps.record("mail", f"{ctx.idempotency_key} {ctx.attempt}")
        return "sent"

    script = [Turn(tool_calls=[ToolCall("send")]), Turn("done")]
    agents = [Agent("agent", model=ScriptedModel(script), tools=[send])]

    async def one(client):
        return (await client.run("agent", "go")).output
"""
SWEEP = """
    def test_it():
        assert_survives_crashes(one, agents)
"""


def failures(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """Run pytest; return what it prints of where tests failed, and how to see that again."""
    result = pytester.runpytest_inprocess(*ALONE, *arguments)
    # Where the variable CI is set, the summary at the end repeats each message, without an "E".
    told = [line[1:].strip() for line in result.outlines if line.startswith("E ")]
    return [line for line in told if re.match(r"(seed \d|kill at|pytest .*--outlive)", line)]


@pytest.mark.parametrize(
    ("test", "arguments"),
    [
        ("def test_it():\n        assert_survives_crashes(one, agents)", []),
        ("def test_it():\n        assert_survives_crashes(one, agents, seed=5)", []),
        (
            "@pytest.mark.parametrize('x', [\"it's\", 'a b'])\n"
            "    def test_it(x, outlive_seed):\n"
            "        assert_survives_crashes(one, agents, seed=outlive_seed)",
            [],
        ),
        (
            "@pytest.mark.parametrize('x', ['a'])\n"
            "    def test_it(x, outlive_seed):\n"
            "        assert_survives_crashes(one, agents, seed=outlive_seed)",
            ["--outlive-seed=7", "--outlive-seeds=2"],
        ),
        (
            "class TestIt(unittest.TestCase):\n"
            "        def test_it(self):\n"
            "            assert_survives_crashes(one, agents)",
            [],
        ),
    ],
    ids=["plain", "own seed", "quotes, blanks", "several seeds", "unittest"],
)
def test_the_command_shows_the_same_failure(
    pytester: pytest.Pytester, test: str, arguments: list[str]
) -> None:
    pytester.makepyfile(f"{HEAD}\n    {test}\n")
    told = failures(pytester, *arguments)
    assert told
    assert len(told) % 3 == 0
    for at in range(0, len(told), 3):
        seed, where, command = told[at : at + 3]
        assert failures(pytester, *shlex.split(command)[1:]) == [seed, where, command]


def test_each_of_several_seeds_is_that_of_its_sweep(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"{HEAD}\n    def test_it(outlive_seed):\n"
        "        assert_survives_crashes(one, agents, seed=outlive_seed)\n"
    )
    told = failures(pytester, "--outlive-seed=3", "--outlive-seeds=2")
    assert [line for line in told if line.startswith("seed")] == ["seed 3", "seed 4"]


def test_the_command_is_right_for_the_folder_in_which_one_stands(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = pytester.makepyfile(HEAD + SWEEP)
    inner = Path(pytester.mkdir("inner"))
    test.rename(inner / "test_it.py")
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(inner)
    told = failures(pytester)
    assert told[-1].startswith("pytest test_it.py::test_it --outlive-seed=0")


def test_a_point_that_is_not_reached_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + SWEEP)
    result = pytester.runpytest_inprocess(*ALONE, "--outlive-crash-points=7:kill,999:kill")
    result.assert_outcomes(failed=1)
    result = pytester.runpytest_inprocess(*ALONE, "-Wdefault", "--outlive-crash-points=999:kill")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*point 999 is not reached, there are *"])


AMID = """
    def crash(sim):
        run_id = sim.start("agent", "go", run_id="one")
        sim.crash()
        assert sim.result(run_id).output == "other"

    def test_with_a_fixture(simulation):
        crash(simulation(agents))

    def test_without():
        with Simulation(agents) as sim:
            crash(sim)
"""


@pytest.mark.parametrize("test", ["test_with_a_fixture", "test_without"])
def test_a_failure_amid_a_simulation_tells_what_it_has_done(
    pytester: pytest.Pytester, test: str
) -> None:
    file = pytester.makepyfile(HEAD + AMID).name
    result = pytester.runpytest_inprocess(*ALONE, "-k", test)
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.re_match_lines(
        [
            r"(E  )? *seed 0",
            r"(E  )? *1 deaths",
            r"(E  )? *\d owner 2 run-one v\d RunRecovered",
            r"(E  )? *to see it again:",
            rf"(E  )? *pytest {file}::{test} --outlive-seed=0",
        ]
    )


def test_pytest_fail_in_a_scenario_is_a_failure_like_any_other(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"{HEAD}\n    async def failing(client):\n        await one(client)\n"
        "        pytest.fail('as we wish')\n\n"
        "    def test_it():\n        assert_survives_crashes(failing, agents)\n\n"
        "    async def skipping(client):\n        await one(client)\n"
        "        pytest.skip('as we wish')\n\n"
        "    def test_skipped():\n        assert_survives_crashes(skipping, agents)\n"
    )
    result = pytester.runpytest_inprocess(*ALONE)
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*SimulationFailed: Failed: as we wish", "*no crash"])
