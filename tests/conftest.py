"""Options of the test suite."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

import outlive.testing.strategies  # pyright: ignore[reportUnusedImport]  # registers the profiles  # noqa: F401

# Whether a disk is waited for makes no difference to a process that is killed, and minutes to
# who waits for tests. `--basetemp=DIR` takes a disk all the same, as does a machine without memory.
_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 << 30
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# `--hypothesis-profile outlive-nightly` tries other examples than those of each day.
settings.load_profile("outlive-ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=200,
        help="how often the crash tests kill a process (default: %(default)s)",
    )
    parser.addoption(
        "--seconds",
        type=float,
        default=20.0,
        help="for how long processes are killed and frozen at random (default: %(default)s)",
    )
    parser.addoption(
        "--seeds",
        type=int,
        default=300,
        help="for how many seeds two processes must come to the same log (default: %(default)s)",
    )
    parser.addoption(
        "--days",
        type=int,
        default=2,
        help="how many days of heartbeats are simulated (default: %(default)s)",
    )
    parser.addoption(
        "--flips",
        type=int,
        default=25,
        help="how many random bits the damage tests flip (default: %(default)s)",
    )
    parser.addoption(
        "--atheris",
        type=int,
        default=0,
        help="for how many seconds atheris fuzzes the decoders, if it is installed (default: 0)",
    )
