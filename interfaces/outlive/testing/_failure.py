"""What a failed simulation says: what was wrong, how it came to it, and how to see it again."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from outlive.testing import _settings

if TYPE_CHECKING:
    from outlive.testing._simulation.simulation import Simulation

_LAST: Final = 25  # records that are shown
_LONG: Final = 160


class SimulationFailed(AssertionError):
    """A simulation has shown that something does not hold. `seed` and `crash_at` repeat it."""

    def __init__(self, simulation: Simulation, reason: str) -> None:
        """Say `reason`."""
        self.seed = simulation.seed
        self.crash_at = dict(simulation.points.fates)
        self.reason = reason
        super().__init__(_report(simulation, reason))


def story(error: BaseException) -> str:
    """Return what an error says, with its type unless it is an assertion."""
    text = str(error)
    if type(error) is AssertionError and text:
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ")


def is_failure(error: BaseException) -> bool:
    """Whether it says that something is wrong, as `pytest.fail` does; not that all should end."""
    pytest = sys.modules.get("pytest")
    return isinstance(error, Exception if pytest is None else (Exception, pytest.fail.Exception))


def _report(simulation: Simulation, reason: str) -> str:
    return f"{reason}\n\n{told(simulation)}"


def told(simulation: Simulation) -> str:
    """Return what a failure says besides its reason: `history`, and how to see it again."""
    lines = [*history(simulation), "", "to see it again:", f"    {_again(simulation)}"]
    return "\n".join(lines)


def history(simulation: Simulation) -> list[str]:
    """Say which simulation it was, where its processes died, and what is in the log."""
    crashes = simulation.points.fates
    passed = simulation.points.passed
    lines = [f"seed {simulation.seed}"]
    if simulation.order:
        lines.append(f"in another order, the {simulation.order}. one")
    for number, fate in sorted(crashes.items()):
        where = str(passed[number - 1]) if number <= len(passed) else f"point {number}, not reached"
        lines.append(f"{fate} at {where}")
    if not crashes:
        lines.append(f"{simulation.deaths} deaths" if simulation.deaths else "no crash")
    lines += ["", "the log:", *_records(simulation)]
    told = [str(line) for line in simulation.logs if line.is_trouble]
    if told:
        lines += ["", "what was logged:", *(_short(f"    {line}") for line in told[-_LAST:])]
    return lines


def _records(simulation: Simulation) -> list[str]:
    store = simulation.disk.store
    positions = [number for number, data in enumerate(store.records, 1) if data]
    lines = [f"    ... {len(positions) - _LAST} before"] if len(positions) > _LAST else []
    for position in positions[-_LAST:]:
        record = store.record(position)
        for version, event in enumerate(record.events, record.first_version):
            text = f"    {position:4} owner {record.epoch} {record.stream} v{version} {event!r}"
            lines.append(_short(text))
    return lines or ["    (empty)"]


def _short(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _from_here(test: str) -> str:
    """Return what pytest calls a test, as it is found from the present folder."""
    path, colons, name = test.partition("::")
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / path).exists():
            return os.path.relpath(folder / path) + colons + name
    return test


def _again(simulation: Simulation) -> str:
    """Return the shortest command known to repeat it."""
    crashes = _settings.show_crashes(simulation.points.fates)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if test:
        at = f" --outlive-crash-points={crashes}" if crashes else ""
        several = " --outlive-seeds=1" if _settings.seeds() is not None else ""
        there = shlex.quote(_from_here(test))
        return f"pytest {there} --outlive-seed={simulation.seed}{several}{at}"
    at = f", crash_at={dict(sorted(simulation.points.fates.items()))}" if crashes else ""
    late = f", late={simulation.loop.late}" if simulation.loop.late else ""
    order = f", order={simulation.order}" if simulation.order else ""
    return f"Simulation(agents, seed={simulation.seed}{order}{late}{at})"
