"""What the kit needs is asked for where it is used, and its absence says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

LACKING = """
import sys
sys.modules[{lacking!r}] = None  # as if it were not installed
import {name}
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "lacking"),
    [("outlive.testing.strategies", "hypothesis"), ("outlive.testing.log_contract", "pytest")],
)
def test_what_is_missing_is_named_with_the_line_that_installs_it(name: str, lacking: str) -> None:
    done = python(LACKING.format(name=name, lacking=lacking))
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: {name} needs {lacking!r}, which is not installed: "
        "pip install 'outlive[testing]'"
    )


def test_what_is_missing_of_something_else_is_not_explained_away() -> None:
    done = python(LACKING.format(name="outlive.testing.strategies", lacking="hypothesis.errors"))
    assert "pip install" not in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["outlive.testing", "outlive.testing.golden"])
def test_the_kit_itself_needs_neither_hypothesis_nor_pytest(name: str) -> None:
    code = f"import sys, {name}; sys.exit(repr(sys.modules.keys() & {{'hypothesis', 'pytest'}}))"
    done = python(code)
    assert done.stderr.strip() == "set()"
