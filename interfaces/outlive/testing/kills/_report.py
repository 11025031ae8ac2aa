"""What was played and found, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outlive.events import LogReader, RunNotFound
from outlive.projections import read_run
from outlive.testing.kills._account import Line
from outlive.testing.kills._checks import Problem

_MOST_PROBLEMS: Final = 10
_LONGEST: Final = 160
_MOST_LINES: Final = 60


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was done to the processes, and what they did."""

    seed: int
    seconds: float  # without the end, in which one process finishes everything
    kills: int
    freezes: int
    full_disks: int
    opened: int  # processes that got as far as an open runtime
    starts: int  # runs whose start was acknowledged
    submitted: int  # starts that were acknowledged while no owner was up
    results: int  # runs whose result was acknowledged
    runs: int  # in the log: of some the start was written, and the kill came before the answer
    events: int
    owners: int  # processes that have written to the log, one after the other
    takeovers: int  # visitors that became the owner
    recoveries: int  # runs that were taken up after a kill, a freeze or a close
    tasks: int  # in the background
    tasks_at_once: int  # that had a slot at the same time, at most
    effects: int  # what tools have noted in the ledger
    said: int  # what people have said, and was acknowledged
    refused: dict[str, int]  # what they were told otherwise, by the name of the error
    held_up: dict[str, int]  # what processes were told while one was frozen or the disk full

    def __str__(self) -> str:
        """Put it into a few lines."""
        lines = [
            f"seed {self.seed}: {self.kills:,} kills, {self.freezes:,} freezes, "
            f"{self.full_disks:,} times a full disk in {self.seconds:.1f} s",
            f"{self.opened:,} processes came up, {self.owners:,} owned the log, "
            f"{self.takeovers:,} took it over; {self.recoveries:,} times a run was taken up",
            f"{self.starts:,} starts acknowledged ({self.submitted:,} without an owner), "
            f"{self.results:,} results; the log holds {self.runs:,} runs, {self.events:,} events",
            f"{self.effects:,} effects in the ledger",
        ]
        if self.tasks:
            lines.append(
                f"{self.tasks:,} background tasks, {self.tasks_at_once:,} of them at the same time"
            )
        if self.said:
            lines.append(f"{self.said:,} times people were heard; refused: {_listed(self.refused)}")
        if self.held_up:
            lines.append(f"held up: {_listed(self.held_up)}")
        return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "nothing"


class KillsFailed(AssertionError):
    """Something that was acknowledged is not so, or was done more often than promised."""

    def __init__(
        self, report: Report, problems: Sequence[Problem], details: str, again: str, folder: Path
    ) -> None:
        shown = [f"- {problem}" for problem in problems[:_MOST_PROBLEMS]]
        if len(problems) > len(shown):
            shown.append(f"- and {len(problems) - len(shown)} more")
        parts = [
            f"{len(problems)} things do not hold:",
            *shown,
            *([details] if details else []),
            str(report),
            f"All of it is in {folder} (log, ledger, what processes printed in output).",
            "The same kills again, at the same instants as far as the machine keeps time:",
            f"    {again}",
        ]
        super().__init__("\n".join(parts))
        self.report, self.problems, self.folder = report, tuple(problems), folder


def details_of(log: LogReader, run_id: str, lines: Iterable[Line]) -> str:
    """Return a run's events, and what was written down about it."""
    told = [" ".join(map(str, line)) for line in lines if run_id in line]
    try:
        events = [
            f"{each.version:5} epoch {each.epoch:4} {each.event!r}"
            for each in read_run(log, run_id)
        ]
    except RunNotFound:
        events = ["it is not in the log"]
    return "\n".join(
        [f"run {run_id!r}:", *_cut(events), "what was written down about it:", *_cut(told)]
    )


def _cut(lines: list[str]) -> list[str]:
    shown = [f"    {line[:_LONGEST]}" for line in lines[:_MOST_LINES]]
    if len(lines) > len(shown):
        shown.append(f"    and {len(lines) - len(shown)} more")
    return shown
