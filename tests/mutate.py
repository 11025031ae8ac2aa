"""Which changes to the pure parts would no test notice? Not a test: run it with `make mutants`.

mutmut changes one thing at a time (a comparison, a number, an argument, a case that is left out)
and runs the tests that reach the changed function, until one fails: the mutant is killed. One
that survives is a change that somebody could make by mistake and merge, or code that does nothing.
Properties, and what stands outside of functions, are left as they are: mutmut cannot change them.

mutmut reads sources from `src/` alone, so this lays the rooms together there, in `.mutants/`,
beside the tests. What it found stays in that folder and is used again: only functions that
changed are tried again, unless a name is given.

    make mutants                                        # all of them: an hour or two
    make mutants ARGS="outlive.actors.run.decide.*"     # those whose names match

It is also the pytest plugin that puts the tests of a run in the order of `TESTS`, so that nearly
all mutants fall to the first, fastest ones.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PLACE: Final = ROOT / ".mutants"
ROOMS: Final = ("events", "projections", "actors", "interfaces")

MODULES: Final = (
    "actors/run/decide.py",
    "actors/run/people.py",
    "actors/run/going_on.py",
    "actors/run/next_step.py",
    "actors/run/failed_model_call.py",
    "actors/run/background.py",
    "actors/run/children.py",
    "actors/run/signals.py",
    "actors/run/answer_schema.py",
    "actors/run/entity.py",
    "actors/retry.py",
    "actors/task/decide.py",
    "actors/task/entity.py",
    "actors/task/admission.py",
    "actors/task/one_by_one.py",
    "actors/task/rows.py",
    "actors/thread/decide.py",
    "actors/thread/entity.py",
    "actors/thread/signals.py",
    "actors/thread/turns.py",
    "actors/heartbeat/decide.py",
    "actors/heartbeat/due.py",
    "actors/heartbeat/entity.py",
    "actors/heartbeat/schedule.py",
    "actors/heartbeat/settled.py",
    "actors/cron/cron.py",
    "actors/cron/fields.py",
    "actors/cron/walls.py",
    "actors/cron/zone.py",
    "events/run/background.py",
    "events/run/calls.py",
    "events/run/children.py",
    "events/run/ending.py",
    "events/run/evolving.py",
    "events/run/evolving_background.py",
    "events/run/evolving_people.py",
    "events/run/requested.py",
    "events/run/stopping.py",
    "events/run/thread.py",
    "events/task/state.py",
    "events/thread/state.py",
    "events/heartbeat/state.py",
    "events/heartbeat/overrides.py",
    "events/codec.py",
    "events/compaction.py",
    "events/fires.py",
    "events/ids.py",
    "events/mail.py",
    "events/memory_store.py",
    "events/record.py",
    "events/signals.py",
    "events/sizes.py",
    "events/store.py",
    "events/upcast.py",
    "events/values.py",
    "events/lmdb_store/gaps.py",
    "events/lmdb_store/pieces.py",
    "events/lmdb_store/rows.py",
)
"""What is changed: modules that compute, without threads, files (but for zones) or a clock."""

TESTS: Final = (
    "tests/actors/test_facts.py",
    "tests/actors/test_decide.py",
    "tests/actors/test_children.py",
    "tests/actors/test_people.py",
    "tests/actors/test_run_told.py",
    "tests/actors/test_run_tasks.py",
    "tests/actors/test_task_decide.py",
    "tests/actors/test_task_facts.py",
    "tests/actors/test_task_rows.py",
    "tests/actors/test_thread_decide.py",
    "tests/actors/test_thread_facts.py",
    "tests/actors/test_heartbeat_decide.py",
    "tests/actors/test_heartbeat_facts.py",
    "tests/actors/test_heartbeat_missed.py",
    "tests/actors/test_heartbeat_owed.py",
    "tests/actors/test_heartbeat_settings.py",
    "tests/actors/test_heartbeat_schedule.py",
    "tests/actors/test_answer_schema.py",
    "tests/actors/test_retry.py",
    "tests/actors/test_host_timezone.py",
    "tests/actors/test_cron.py",
    "tests/actors/test_admission.py",
    "tests/testing/test_deciding.py",
    "tests/actors/test_mail.py",
    "tests/events/test_ids.py",
    "tests/events/test_mail.py",
    "tests/events/test_values.py",
    "tests/events/test_signals.py",
    "tests/events/test_sizes.py",
    "tests/events/test_admitting.py",
    "tests/events/test_editions.py",
    "tests/events/test_upcast.py",
    "tests/events/test_superseded.py",
    "tests/events/test_record_fields.py",
    "tests/events/test_record.py",
    "tests/events/test_gaps.py",
    "tests/events/test_pieces.py",
    "tests/events/test_log_rows.py",
    "tests/events/test_memory_store.py",
    "tests/events/test_refusing.py",
    "tests/events/test_lmdb_rows.py",
    "tests/events/test_lmdb_blobs.py",
    "tests/events/test_memory_log.py",
    "tests/events/test_compaction.py",
    "tests/events/test_lmdb_compaction.py",
    "tests/events/test_golden.py",
    "tests/actors/test_model_retries.py",
    "tests/actors/test_stopping.py",
    "tests/actors/test_output_type.py",
    "tests/actors/test_threads.py",
    "tests/actors/test_thread_runs.py",
    "tests/actors/test_thread_tasks.py",
    "tests/actors/test_tasks.py",
)
"""What is to notice it, the fastest first."""

_COMPACTION = "tests/events/test_lmdb_compaction.py::test_"
_MEMORY = "tests/events/test_memory_log.py::TestMemoryLog::test_a_"
SKIPPED: Final = (
    f"{_COMPACTION}any_log_is_valid_after_any_number_of_parts",
    f"{_COMPACTION}commits_and_reads_go_on_beside_it",
    f"{_COMPACTION}each_of_its_transactions_leaves_a_valid_log",
    f"{_COMPACTION}the_parts_in_which_it_is_done_do_not_show",
    f"{_MEMORY}follower_that_falls_behind_its_queue_reads_the_log_again",
    f"{_MEMORY}long_stream_is_read_in_pages_from_any_version",
    "tests/events/test_golden.py::test_a_log_of_format_1_with_gaps_is_read_verified_and_compacted_again",
)
"""Tests among them that take seconds, and would do so for each mutant that survives."""


def pytest_sessionstart() -> None:
    """Forget what functions keep: a mutant is tried in a fork of a process that ran all tests."""
    for module in MODULES:
        name = f"outlive.{module.removesuffix('.py').replace('/', '.')}"
        for value in vars(sys.modules.get(name, object)).values():
            forget = getattr(value, "cache_clear", None)
            if callable(forget):
                forget()


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Put the fastest files first: mutmut hands on its tests in no order.

    It also starts pytest several times in one process, and asks for tests by their ids. pytest
    escapes the ids that a test gives its parameters (`ids=`) once more each time: a backslash, or
    a letter beyond ASCII, and the test has another name by then, and all of them are refused.
    """
    for item in items:
        if "\\" in item.name and any("ids" in mark.kwargs for mark in item.iter_markers()):
            print(f"{item.nodeid}: an id of `ids=` with an escape in it", file=sys.__stderr__)
            raise ValueError(item.nodeid)
    items.sort(key=lambda item: TESTS.index(item.nodeid.partition("::")[0]))


def lay_out() -> None:
    """Copy the rooms into one `src/`, and what the tests need beside it."""
    for folder in ("src", "tests", "mutants/tests"):
        shutil.rmtree(PLACE / folder, ignore_errors=True)
    hidden = shutil.ignore_patterns("__pycache__")
    for room in ROOMS:
        shutil.copytree(
            ROOT / room / "outlive", PLACE / "src/outlive", ignore=hidden, dirs_exist_ok=True
        )
    shutil.copytree(ROOT / "tests", PLACE / "tests", ignore=hidden)
    options = [
        *("-p", "no:xdist", "-p", "no:cacheprovider", "-p", "tests.mutate"),
        *(f"--deselect={test}" for test in SKIPPED),
    ]
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/outlive/{module}" for module in MODULES],
        "pytest_add_cli_args": options,
        "pytest_add_cli_args_test_selection": list(TESTS),
        "use_git_change_detection": False,
        "timeout_multiplier": 10.0,  # of what the tests take, for a mutant that loops
        "timeout_constant": 2.0,
    }
    written = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (PLACE / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{written}", encoding="utf-8")


def found(patterns: list[str]) -> Iterator[tuple[str, str, str]]:
    """Say of each mutant whose name matches its module, its name, and what became of it."""
    stats: Any = importlib.import_module("mutmut.stats")
    for module in MODULES:
        meta = PLACE / f"mutants/src/outlive/{module}.meta"
        if not meta.exists():
            continue
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        for name, code in codes.items():
            if not patterns or any(fnmatch(name, pattern) for pattern in patterns):
                yield module, name, stats.status_by_exit_code[code]


def report(patterns: list[str]) -> None:
    """Print the survivors, each with what was changed, and a line for each module."""
    os.chdir(PLACE)
    diffs: Any = importlib.import_module("mutmut.mutation.diff_apply")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for module, name, status in found(patterns):
        killed = status in ("killed", "timeout", "segfault")
        counts[module]["killed" if killed else "survived"] += 1
        if status == "timeout":
            print(f"\n{name}: timeout, twice")
        elif not killed:
            changed = [
                line
                for line in diffs.get_diff_for_mutant(
                    name, path=f"src/outlive/{module}"
                ).splitlines()
                if line[:1] in "+-" and line[:3] not in ("+++", "---")
            ]
            print(f"\n{name}: {status}", *changed, sep="\n")
    print(f"\n{'module':40}{'mutants':>9}{'killed':>9}{'survived':>10}{'score':>8}")
    counts["all"] = sum(counts.values(), Counter[str]())
    for module, count in counts.items():
        total = count.total()
        share = f"{count['killed'] / total:.0%}" if total else "-"
        print(f"{module:40}{total:9}{count['killed']:9}{count['survived']:10}{share:>8}")


def late(patterns: list[str]) -> set[str]:
    """Name the mutants that ran out of time."""
    return {name for _, name, status in found(patterns) if status == "timeout"}


def mutmut(patterns: list[str]) -> None:
    """Try the mutants whose names match, or, if there is none, all that are not known."""
    program = Path(sys.executable).with_name("mutmut")
    tried = subprocess.run([program, "run", *patterns], cwd=PLACE, check=False)
    if tried.returncode != 0:
        sys.exit(tried.returncode)


def main() -> None:
    """Try mutants, those that run out of time twice, and report."""
    patterns = sys.argv[1:]
    known = set[str]() if patterns else late([])
    lay_out()
    mutmut(patterns)
    if again := late(patterns) - known:  # They loop, or the machine was busy for a while.
        mutmut(sorted(again))
    report(patterns)


if __name__ == "__main__":
    main()
