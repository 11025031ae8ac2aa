"""Two processes on one folder: how soon does one take over, and what does a visitor wait for?

Takeover: the owner has a run in its tool when it is killed (SIGKILL) or frozen (SIGSTOP). Measured
is from the signal until the tool's body runs again in the other process, with the recovery
durable. For the frozen one the lease is taken off, 5 seconds by default.

Starting through the inbox: from `Runtime.start` in a visitor until the owner's reply is there,
one start after the other, fsync on. Beside it the same in the owner.

Idle: an owner and a visitor that stands by, with nothing to do: CPU time of each over a minute,
as a share of one core.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import (
    Report,
    Row,
    Target,
    finish,
    middle,
    options,
    percentile,
    report,
    scratch,
)

_ROOT: Final = Path(__file__).parents[1]


class Sizes(msgspec.Struct, frozen=True):
    """How long the lease is, how many runs are started, how long nothing is done."""

    lease: float = 5.0
    starts: int = 300
    idle_seconds: float = 60.0


QUICK: Final = Sizes(lease=1.0, starts=50, idle_seconds=2.0)


class _Member:
    """A process that has the folder open."""

    def __init__(self, folder: Path, role: str, lease: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._member", str(folder), role, str(lease)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.role = self.line()

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return line

    def say(self, line: str) -> None:
        """Give it an order."""
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def _two(folder: Path, lease: float) -> Generator[tuple[_Member, _Member]]:
    """An owner, and one that stands by."""
    with scratch(folder) as place:
        owner = _Member(place / "log", "auto", lease)
        other = _Member(place / "log", "auto", lease)
        try:
            assert (owner.role, other.role) == ("owner", "visitor")
            yield owner, other
        finally:
            owner.end()
            other.end()


def _taken_over(folder: Path, lease: float, how: signal.Signals) -> float:
    """Return the milliseconds from a signal to the owner until its run goes on elsewhere."""
    with _two(folder, lease) as (owner, other):
        owner.say("hang")
        owner.line()
        before = time.monotonic_ns()
        os.kill(owner.process.pid, how)
        return (int(other.line().split()[1]) - before) / 1e6


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure takeover `rounds` times, the others once."""
    killed = [_taken_over(folder, sizes.lease, signal.SIGKILL) for _ in range(rounds)]
    frozen = [
        _taken_over(folder, sizes.lease, signal.SIGSTOP) - 1_000 * sizes.lease
        for _ in range(rounds)
    ]
    with _two(folder, sizes.lease) as (owner, other):
        starts: dict[str, list[float]] = {}
        for member in (owner, other):
            member.say(f"starts {sizes.starts}")
            starts[member.role] = [float(word) for word in member.line().split()]
        for member in (owner, other):
            member.say(f"idle {sizes.idle_seconds}")
        idle = {member.role: 100 * float(member.line()) for member in (owner, other)}
    through_inbox = percentile(starts["visitor"], 0.5)
    takeovers: list[Row] = [
        {"owner": name, "p50 ms": middle(found), "slowest ms": max(found)}
        for name, found in (("killed", killed), ("frozen, beyond the lease", frozen))
    ]
    per_role: list[Row] = [
        {
            "role": role,
            "start p50 ms": percentile(found, 0.5),
            "start p99 ms": percentile(found, 0.99),
            "idle CPU, %": idle[role],
        }
        for role, found in starts.items()
    ]
    targets = [
        Target(
            what="takeover after SIGKILL of the owner",
            unit="ms",
            measured=max(killed),
            target=500.0,
            aim=200.0,
        ),
        Target(
            what="takeover after SIGSTOP of the owner, beyond its lease",
            unit="ms",
            measured=max(frozen),
            target=500.0,
            aim=300.0,
        ),
        Target(
            what="start of a run through the inbox: p50",
            unit="ms",
            measured=through_inbox,
            target=3.0,
            aim=1.5,
        ),
        Target(
            what="idle owner and visitor: CPU of the busier one",
            unit="% of a core",
            measured=max(idle.values()),
            target=0.5,
            aim=0.2,
        ),
    ]
    return report(
        "processes",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"takeover": takeovers, "starting runs, and doing nothing": per_role},
        targets=targets,
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (2 if given.quick else 5)), given)


if __name__ == "__main__":
    main()
