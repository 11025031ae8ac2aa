"""What a failed simulation says: what was wrong, how it came to it, and how to see it again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from outlive.testing._settings import show_crashes

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


def _report(simulation: Simulation, reason: str) -> str:
    lines = [reason, "", *history(simulation), "", "to see it again:"]
    return "\n".join([*lines, f"    {_again(simulation)}"])


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
        lines.append("no crash")
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


def _again(simulation: Simulation) -> str:
    """Return the shortest command known to repeat it."""
    crashes = show_crashes(simulation.points.fates)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if test:
        at = f" --outlive-crash-points={crashes}" if crashes else ""
        return f"pytest '{test}' --outlive-seed={simulation.seed}{at}"
    at = f", crash_at={dict(sorted(simulation.points.fates.items()))}" if crashes else ""
    late = f", late={simulation.loop.late}" if simulation.loop.late else ""
    order = f", order={simulation.order}" if simulation.order else ""
    return f"Simulation(agents, seed={simulation.seed}{order}{late}{at})"
