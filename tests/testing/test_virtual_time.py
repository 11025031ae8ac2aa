"""Virtual time passes by the nanosecond, however much of it has passed."""

from __future__ import annotations

import pytest

from outlive.testing import Simulation


@pytest.mark.parametrize("days", [1, 49, 40_000])
@pytest.mark.parametrize("wait_ns", [1, 999, 1_000_000_001, 599_999_999_999])
def test_a_timer_rings_at_the_nanosecond_that_it_was_set_to(days: int, wait_ns: int) -> None:
    rung: list[int] = []
    with Simulation() as simulation:
        simulation.advance(days * 86_400)
        began_ns = simulation.clock.monotonic_ns()
        simulation.loop.call_later(
            wait_ns / 1e9, lambda: rung.append(simulation.clock.monotonic_ns())
        )
        simulation.advance(600)
    assert rung == [began_ns + wait_ns]
