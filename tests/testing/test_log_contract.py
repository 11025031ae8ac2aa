"""The log contract as a user meets it: a class to subclass, in a pytest without anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.events import MemoryLog, SystemClock

MINE = """
    from outlive.events import MemoryLog
    from outlive.testing.log_contract import LogContract

    class Mine(MemoryLog):
        {flaw}

    class TestMine(LogContract[Mine]):
        def open(self, place, clock):
            return Mine(clock=clock)

        def reopen(self, log, place, clock, *, clean):
            found = log.reopened(clean=clean)
            found.__class__ = Mine
            return found
"""
FORGETS = """
        def version(self, stream):
            return super().version(stream) + 1
"""


ALONE = ("-q", "-W", "error", "-p", "no:asyncio", "-p", "no:anyio")


def test_a_log_that_keeps_the_contract_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MINE.format(flaw="pass"))
    counts = pytester.runpytest_subprocess(*ALONE, "-k", "refused").parseoutcomes()
    assert counts.pop("passed") > 15
    assert counts.keys() == {"deselected"}


def test_a_log_that_does_not_is_told_what_was_compared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MINE.format(flaw=FORGETS))
    result = pytester.runpytest_subprocess(*ALONE, "-k", "a_new_log_is_empty")
    result.assert_outcomes(failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["E *assert 1 == 0"])


def test_a_subclass_says_how_its_logs_are_made(tmp_path: Path) -> None:
    from outlive.testing.log_contract import LogContract

    silent = LogContract[MemoryLog]()
    with pytest.raises(NotImplementedError):
        silent.open(tmp_path, SystemClock())
    with pytest.raises(NotImplementedError):
        silent.reopen(MemoryLog(), tmp_path, SystemClock(), clean=True)
