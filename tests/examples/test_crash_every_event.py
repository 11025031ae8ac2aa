"""The example of a crash sweep: it passes, and shows a mistake when there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "crash_every_event"


def pytest_in(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_example_passes_and_prints_its_points(tmp_path: Path) -> None:
    project = Path(shutil.copytree(EXAMPLE, tmp_path / "project"))
    code, output = pytest_in(project)
    assert code == 0, output
    assert "35 points, 281 simulations, 341 deaths" in output
    assert "1 passed" in output


def test_a_key_that_changes_with_the_attempt_is_found_and_seen_again(tmp_path: Path) -> None:
    project = Path(shutil.copytree(EXAMPLE, tmp_path / "project"))
    clerk = project / "clerk.py"
    good = "idempotency_key=ctx.idempotency_key"
    bad = 'idempotency_key=f"{ctx.idempotency_key}-{ctx.attempt}"'
    assert good in clerk.read_text()
    clerk.write_text(clerk.read_text().replace(good, bad))
    code, output = pytest_in(project)
    assert code == 1, output
    assert "kill at point 16, after effect 'payment'" in output
    assert "v9 RunRecovered(epoch=2" in output
    again = "--outlive-seed=0 --outlive-crash-points=16:kill"
    assert f"test_clerk.py::test_the_clerk_survives_a_crash_at_every_event {again}" in output
    code, output = pytest_in(project, *again.split())
    assert code == 1, output
    assert "assert 2 == 1" in output
