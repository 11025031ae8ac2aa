"""Each benchmark runs, at sizes too small to mean anything, and tells what it promises to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lmdb
import msgspec
import pytest

from benchmarks import (
    bench_durable_run,
    bench_heartbeats,
    bench_log,
    bench_observe,
    bench_open,
    bench_processes,
    bench_recovery,
    bench_simulation,
    bench_subscribers,
    bench_suspended,
    bench_tasks,
    bench_verify,
    bench_views,
)
from benchmarks._bare_log import BareLog
from benchmarks._bench import Cell, Options, Report, Target, finish, number, percentile, table
from benchmarks._durable_runs import run_many
from benchmarks._machine import Machine
from benchmarks._observe_sides import Sizes as ObserveSizes
from benchmarks._profile import profile
from benchmarks._subscribers import Sizes as SubscribersSizes
from benchmarks.report import markdown, names
from outlive.events import LmdbLog, ModelDelta, run_stream

AT_NS = 1_000
TABLES = ("log", "streams", "ids", "entrances", "open")

Measure = Callable[[Path], Report]


class StoppedClock:
    """Always the same instant."""

    def now_ns(self) -> int:
        return AT_NS

    def monotonic_ns(self) -> int:
        return AT_NS


def log(folder: Path) -> Report:
    sizes = bench_log.Sizes(commits=20, writers=(1, 2), batches=(1, 3))
    return bench_log.measure(sizes, folder, rounds=1)


def durable_run(folder: Path) -> Report:
    sizes = bench_durable_run.Sizes(one_by_one=2, at_once=(2,), runs=4, cost_runs=2)
    return bench_durable_run.measure(sizes, folder, rounds=1)


def recovery(folder: Path) -> Report:
    sizes = bench_recovery.Sizes(runs=(3,), old_events=440)
    return bench_recovery.measure(sizes, folder, rounds=1)


def observe(folder: Path) -> Report:
    sizes = ObserveSizes(events=4, observers=(2,))
    return bench_observe.measure(sizes, folder, rounds=1)


def opening(folder: Path) -> Report:
    sizes = bench_open.Sizes(old_events=(440,), runs=3, idle_seconds=0.01)
    return bench_open.measure(sizes, folder, rounds=1)


def subscribers(folder: Path) -> Report:
    sizes = SubscribersSizes(commits=20, writers=2, observers=3, slow=1, grown_commits=5)
    return bench_subscribers.measure(sizes, folder, rounds=1)


def views(folder: Path) -> Report:
    sizes = bench_views.Sizes(finished=20, lists=2, runs=4, at_once=2)
    return bench_views.measure(sizes, folder, rounds=1)


def verifying(folder: Path) -> Report:
    sizes = bench_verify.Sizes(events=3_100, groups=(1, 50))
    return bench_verify.measure(sizes, folder, rounds=1)


def simulation(folder: Path) -> Report:
    sizes = bench_simulation.Sizes(agents=3, hours=2, watched_hours=1)
    return bench_simulation.measure(sizes, folder, rounds=1)


def processes(folder: Path) -> Report:
    sizes = bench_processes.Sizes(lease=0.3, starts=3, idle_seconds=0.01)
    return bench_processes.measure(sizes, folder, rounds=1)


def suspended(folder: Path) -> Report:
    return bench_suspended.measure(bench_suspended.Sizes(runs=(5,), answers=2), folder, rounds=2)


def heartbeats(folder: Path) -> Report:
    sizes = bench_heartbeats.Sizes(heartbeats=6, each_second=6, at_once=3, seconds=0.2, ahead=0.3)
    return bench_heartbeats.measure(sizes, folder, rounds=1)


def tasks(folder: Path) -> Report:
    sizes = bench_tasks.Sizes(
        one_by_one=2, tasks=6, at_once=2, waiting=(3, 6), dispatches=5, killed=3
    )
    return bench_tasks.measure(sizes, folder, rounds=1)


MEASURES: dict[str, tuple[Measure, set[str], int]] = {
    "log": (log, {"writers", "events a commit", "events/s", "bare LMDB", "ratio"}, 1),
    "durable_run": (durable_run, {"at once", "runs/s", "p50 ms", "p99 ms", "floor runs/s"}, 4),
    "recovery": (recovery, {"interrupted runs", "all finished after, s", "floor, s"}, 0),
    "open": (opening, {"events in the log", "open runs", "open after, ms"}, 2),
    "subscribers": (subscribers, {"observers in", "observers", "commits/s"}, 0),
    "suspended": (suspended, {"waiting runs", "open after, ms", "answer p50, ms"}, 4),
    "heartbeats": (heartbeats, {"heartbeats", "reopened after, s", "idle, % of a core"}, 6),
    "tasks": (tasks, {"from", "p50 ms", "p99 ms", "least ms"}, 6),
    "verify": (verifying, {"commits a transaction", "events", "s", "hashes alone, s"}, 1),
    "observe": (observe, {"observers in", "observers", "from ack p50 ms", "floor p99 ms"}, 2),
    "processes": (processes, {"owner", "p50 ms", "slowest ms"}, 4),
    "simulation": (simulation, {"invariants", "runs", "us a run", "s a week"}, 1),
    "views": (views, {"list", "p50 ms", "p99 ms"}, 2),
}


def test_every_benchmark_is_tried_here() -> None:
    assert names() == sorted(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_a_benchmark_writes_its_figures_down(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, columns, targets = MEASURES[name]
    file = tmp_path / "results" / f"{name}.json"
    given = Options(json=file, quick=True, rounds=1, folder=tmp_path, profile=False)

    told = finish(measure(tmp_path), given)
    kept = msgspec.json.decode(file.read_bytes(), type=Report)

    assert kept == told
    assert kept.benchmark == name
    assert kept.question.endswith("?")
    assert kept.machine.cores >= 1
    assert kept.machine.loop_ms > 0
    assert {"python", "outlive", "liblmdb"} <= kept.versions.keys()
    assert len(kept.targets) == targets
    first = next(iter(kept.tables.values()))
    assert all(columns <= row.keys() for row in first)
    assert all(value > 0 for row in first for value in row.values() if isinstance(value, int))
    assert kept.question in capsys.readouterr().out


def test_a_run_is_eleven_commits_one_by_one(tmp_path: Path) -> None:
    cost = durable_run(tmp_path).tables["what a run costs"]
    assert [row["commits a run"] for row in cost if row["at once"] == 1] == [11.0, 11.0]


def test_the_floor_of_the_log_writes_the_rows_that_the_log_writes(tmp_path: Path) -> None:
    events = [
        (ModelDelta(text="a" * size),) * count for size, count in ((9, 1), (800, 70))
    ]  # below what is kept apart
    with BareLog(tmp_path) as bare:
        for commit in events:
            for number in (1, 2):
                bare.write([(number, commit, AT_NS)])
    log = LmdbLog(tmp_path / "ours", clock=StoppedClock())
    for commit in events:
        for number in (1, 2):
            stream = run_stream(str(number))
            log.append(stream, commit, expected_version=log.version(stream)).result()
    log.close()

    assert rows(tmp_path) == rows(tmp_path / "ours" / "log")


def rows(folder: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    with lmdb.open(str(folder), readonly=True, max_dbs=8) as env:
        tables = {name: env.open_db(name.encode(), create=False) for name in TABLES}
        with env.begin() as txn:
            return {name: list(txn.cursor(table)) for name, table in tables.items()}


def test_the_profile_tells_the_threads_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile(run_many, tmp_path, runs=2)
    out = capsys.readouterr().out
    assert "loop thread" in out
    assert "event_sourced.py" in out


def test_the_report_says_which_promise_was_missed() -> None:
    found = Report(
        benchmark="log",
        question="How fast?",
        tables={},
        targets=[
            Target(what="slow", unit="ms", measured=7.0, target=5.0, aim=2.0),
            Target(what="fast", unit="x", measured=0.8, target=0.5, at_most=False),
        ],
        sizes={},
        rounds=1,
        machine=Machine(
            cpu="c", cores=2, memory_gib=8.0, kernel="k", filesystem="ext4", loop_ms=50.0
        ),
        versions={"python": "3.11"},
        date="2026-01-01T00:00:00+00:00",
    )
    lines = markdown([found]).splitlines()
    source = "[log](benchmarks/bench_log.py)"
    assert lines[2] == f"| slow | ≤ 5.00 ms | ≤ 2.00 | **7.00 ms** (missed) | {source} |"
    assert lines[3] == f"| fast | ≥ 0.500 x |  | 0.800 x | {source} |"
    assert lines[-1] == (
        "c, 2 cores, 8 GiB, Linux k, ext4; python 3.11; 2026-01-01. "
        "A million rounds of a Python loop took 50 ms there."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (0.5, "0.500"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")],
)
def test_a_number_has_three_digits_that_say_something(value: Cell, text: str) -> None:
    assert number(value) == text


def test_a_percentile_is_one_of_the_samples() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.99) == 4.0
    assert percentile([1.0], 0.5) == 1.0


def test_a_table_has_numbers_to_the_right() -> None:
    rows: list[dict[str, Cell]] = [{"name": "a", "n": 1}, {"name": "bb", "n": 1000}]
    assert table(rows).splitlines() == ["name      n", "----  -----", "a         1", "bb    1,000"]
