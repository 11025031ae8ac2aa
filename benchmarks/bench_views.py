"""What do views cost, and how fast do they answer with many finished runs?

The log is filled with finished runs of 22 events in 11 commits, as `bench_durable_run` leaves
them. `list` is timed by pages of 50 in the owner's process, on its event loop: the newest runs,
those of one agent that failed (one in a hundred), and the page after the middle one. Catching
up is a view that is built anew from all of the log, and what opening one costs after a clean
end (a checksum over the file) and after a crash (a walk over its pages and rows).

The cost on runs is the rate of durable runs with the runs view, over the rate without it,
turn by turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from unittest.mock import patch

import msgspec

from benchmarks._bench import (
    Report,
    Row,
    Target,
    finish,
    middle,
    options,
    percentile,
    ratio,
    report,
    scratch,
    take_turns,
)
from benchmarks._durable_runs import run_many
from outlive.events import (
    CallId,
    Failure,
    LmdbLog,
    ModelCallCompleted,
    ModelCallStarted,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
    Version,
    ViewBehind,
    run_stream,
)
from outlive.projections import RunsQuery, RunsView, ViewRunner
from outlive.projections.views.view_file import Identity, open_view

_STEPS: Final = 5


class Sizes(msgspec.Struct, frozen=True):
    """How many finished runs, how many lists, and runs a turn for the cost."""

    finished: int = 100_000
    lists: int = 500
    runs: int = 1_000
    at_once: int = 50


QUICK: Final = Sizes(finished=5_000, lists=100, runs=300)


def _commits(number: int) -> list[tuple[RunEvent, ...]]:
    agent_id = f"agent-{number % 10}"
    found: list[tuple[RunEvent, ...]] = [
        (RunStarted(agent_id=agent_id, input="x" * 100), ModelCallStarted(model="m", messages=1))
    ]
    for step in range(_STEPS):
        call = CallId(f"{step}.0")
        usage = Usage(input_tokens=100, output_tokens=20)
        answer = ModelCallCompleted(step=step, text="x" * 200, usage=usage)
        found.append((answer, ToolCallStarted(call_id=call, name="look")))
        result = ToolCallCompleted(call_id=call, result="x" * 200)
        if step < _STEPS - 1:
            found.append((result, ModelCallStarted(step=step + 1, model="m", messages=1)))
        elif number % 100:
            found.append((result, RunCompleted()))
        else:
            found.append((result, RunFailed(error=Failure(kind="error", message="no luck"))))
    return found


def fill(folder: Path, finished: int) -> int:
    """Append finished runs to a log; return how many records that were."""
    log = LmdbLog(folder)
    for number in range(finished):
        stream, version = run_stream(f"run{number:09}"), 0
        for events in _commits(number):
            log.append(stream, events, expected_version=Version(version))
            version += len(events)
        if not number % 500:  # so that what waits to be written stays small
            log.append(stream, (), expected_version=Version(version)).result(60)
    log.close()
    log = LmdbLog(folder)
    records = int(log.head)
    log.close()
    return records


async def _catch_up(log: LmdbLog, folder: Path) -> float:
    """Return how many seconds a view takes until it is where the log is."""
    views = ViewRunner(log, [RunsView()], folder=folder)
    started_ns = time.perf_counter_ns()
    views.start()
    while True:
        try:
            await views.read(RunsView.name, lambda _: None)
        except ViewBehind:
            continue
        break
    took = (time.perf_counter_ns() - started_ns) / 1e9
    await views.close()
    return took


async def _lists(log: LmdbLog, folder: Path, times: int) -> list[Row]:
    views = ViewRunner(log, [RunsView()], folder=folder)
    views.start()
    runs = RunsQuery(log, views)
    half, pages = None, 0
    page = await runs.list(limit=1_000)
    while page.cursor is not None:
        pages += 1
        if pages * 2_000 <= int(log.head) // (2 * _STEPS + 1):
            half = page.cursor
        page = await runs.list(limit=1_000, cursor=page.cursor)
    rows: list[Row] = []
    for what, filters in (
        ("newest 50", {}),
        ("failed ones of an agent", {"status": "failed", "agent_id": "agent-0"}),
        ("after the middle", {"cursor": half}),
    ):
        waits: list[float] = []
        for _ in range(times):
            started_ns = time.perf_counter_ns()
            await runs.list(**filters)  # pyright: ignore[reportArgumentType]  # text, all of it
            waits.append((time.perf_counter_ns() - started_ns) / 1e6)
        rows.append(
            {"list": what, "p50 ms": percentile(waits, 0.5), "p99 ms": percentile(waits, 0.99)}
        )
    await views.close()
    return rows


def _opening(folder: Path, log_id: str) -> list[Row]:
    rows: list[Row] = []
    for end in ("clean", "killed"):
        if end == "killed":
            (newest,) = (folder / "runs").iterdir()
            (newest / "clean.json").unlink()
        started_ns = time.perf_counter_ns()
        view, _ = open_view(folder / "runs", Identity(log_id, RunsView.name, RunsView.version))
        rows.append({"opened after": end, "ms": (time.perf_counter_ns() - started_ns) / 1e6})
        view.close()
    return rows


def _rate(parent: Path, sizes: Sizes) -> float:
    with scratch(parent) as folder:
        _, took_ns = asyncio.run(run_many(folder, sizes.runs, sizes.at_once))
        return sizes.runs * 1e9 / took_ns


def _rate_without(parent: Path, sizes: Sizes) -> float:
    with patch.object(ViewRunner, "start"):
        return _rate(parent, sizes)


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure lists, catching up and opening, then the cost on runs."""
    with scratch(folder) as parent:
        records = fill(parent / "log", sizes.finished)
        log = LmdbLog(parent / "log")
        views = parent / "views"
        views.mkdir()
        took = asyncio.run(_catch_up(log, views))
        lists = asyncio.run(_lists(log, views, sizes.lists))
        opened = _opening(views, log.log_id)
        log.close()
    with_view, without = take_turns(
        rounds, lambda: _rate(folder, sizes), lambda: _rate_without(folder, sizes)
    )
    kept = ratio(with_view, without)
    caught: Row = {
        "records": records,
        "seconds": took,
        "records/s": records / took,
        "runs/s": sizes.finished / took,
    }
    cost: Row = {
        "at once": sizes.at_once,
        "runs/s": middle(with_view),
        "without the view": middle(without),
        "ratio": kept,
    }
    worst = max(row["p99 ms"] for row in lists if isinstance(row["p99 ms"], float))
    targets = [
        Target(
            what=f"views: p99 of a list, {sizes.finished:,} finished runs",
            unit="ms",
            measured=worst,
            target=20,
            aim=5,
        ),
        Target(
            what="views: rate of durable runs, beside the rate without views",
            unit="x",
            measured=kept,
            target=0.9,
            aim=0.95,
            at_most=False,
        ),
    ]
    return report(
        "views",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={
            "a page of a list": lists,
            "building a view from the log": [caught],
            "opening a view": opened,
            "what it costs the runs": [cost],
        },
        targets=targets,
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (3 if given.quick else 9)), given)


if __name__ == "__main__":
    main()
