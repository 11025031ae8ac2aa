"""Where processes die, and how."""

from __future__ import annotations

from hypothesis import strategies as st

from outlive.testing._simulation.points import Fate


def fates() -> st.SearchStrategy[Fate]:
    """Draw how a process ends: `kill`, or `freeze` (it wakes up after another took over)."""
    return st.sampled_from(("kill", "freeze"))


def crashes(*, max_crashes: int = 3, max_point: int = 60) -> st.SearchStrategy[dict[int, Fate]]:
    """Draw at which points processes end, and how: for `crash_at` of a `Simulation`.

    Points are counted from 1 over all processes of a simulation, so of two that are close to
    each other the second one is met in the recovery from the first. One that is not reached
    does nothing. Shrinks to no crash.

    Args:
        max_crashes: how many there are at most.
        max_point: the last point at which one may be.
    """
    return st.dictionaries(st.integers(1, max_point), fates(), max_size=max_crashes)
