"""The same seed gives the same log, byte for byte, and the same to see, in any process."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outlive.testing import Simulation
from tests.testing import scenarios

ROOT = Path(__file__).parents[2]
HASH_SEEDS = ("1", "4242")


def told(folder: Path, first: int, count: int, *more: str) -> list[list[str]]:
    """What processes that hash differently say of the same seeds."""
    processes: list[tuple[subprocess.Popen[bytes], Path]] = []
    for hash_seed in HASH_SEEDS:
        path = folder / f"hash {hash_seed}, from {first}"
        with path.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.testing.chances", str(first), str(count), *more],
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        processes.append((process, path))
    codes = [process.wait() for process, _ in processes]
    texts = [path.read_text() for _, path in processes]
    assert codes == [0, 0], texts[0] if codes[0] else texts[1]
    return [text.splitlines() for text in texts]


def test_the_same_seed_comes_to_the_same_in_processes_that_hash_differently(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seeds = int(str(request.config.getoption("--seeds")))
    one, other = told(tmp_path, 0, seeds)
    assert len(one) == seeds
    for here, there in zip(one, other, strict=True):
        if here != there:
            seed = int(here.split()[0])
            one, other = told(tmp_path, seed, 1, "--long")
            pytest.fail("\n".join((f"seed {seed}:", *difflib.unified_diff(one, other, n=0))))
    assert (
        len({line.split()[1] for line in one}) > 0.9 * seeds
    )  # logs that differ from seed to seed


def test_another_seed_is_another_order() -> None:
    logs: set[bytes] = set()
    for seed in range(5):
        with Simulation(scenarios.parallel, seed=seed) as sim:
            sim.start("agent", "do it", run_id="one")
            sim.run_until_idle()
            logs.add(sim.log_bytes)
    assert len(logs) == 5
