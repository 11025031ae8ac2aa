"""Views of processes that were killed, and views whose files were damaged."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import pytest

from outlive.events import LmdbLog
from tests.crash import view_programs
from tests.crash.view_programs import owners_view, visitors_view
from tests.support.views import end_run, start_run, view_file

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.crash.view_programs"])


@pytest.mark.parametrize("seed", [1, 2])
def test_wherever_a_process_is_killed_its_view_is_the_fold_of_the_log(
    seed: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills: int = int(str(pytestconfig.getoption("--kills"))) // 5
    rng = random.Random(seed)
    for number in range(kills):
        here, there = PROCESSES.Pipe()
        process = PROCESSES.Process(
            target=view_programs.owner, args=(str(tmp_path), there, seed * 1_000 + number)
        )
        process.start()
        there.close()
        assert here.poll(60)
        assert here.recv() == "open"
        process.join(rng.random() * rng.choice((0.01, 0.05, 0.1)))
        assert process.exitcode is None, "it ended by itself"
        process.kill()
        process.join()
        here.close()
        if number % 4 == 0:
            found, expected = visitors_view(tmp_path)
            assert found == expected
        if number % 4 == 2:
            found, expected = owners_view(tmp_path)
            assert found == expected
    found, expected = owners_view(tmp_path)
    assert found == expected
    assert expected


@pytest.mark.parametrize("seed", range(4))
def test_no_flipped_bit_in_any_page_takes_a_process_down_or_tells_a_lie(
    seed: int, tmp_path: Path
) -> None:
    log = LmdbLog(tmp_path)
    for number in range(60):
        start_run(log, f"r{number}")
        end_run(log, f"r{number}")
    log.close()
    owners_view(tmp_path)
    whole = view_file(tmp_path).read_bytes()

    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(
        target=view_programs.damage_and_look,
        args=(str(tmp_path), there, whole, seed, 25),
        daemon=True,
    )
    process.start()
    there.close()
    told: list[object] = []
    try:
        while here.poll(60):
            told.append(here.recv())
    except EOFError:
        pass
    process.join(60)
    assert process.exitcode == 0, told[-1:]
    assert told[-1] == "done"
