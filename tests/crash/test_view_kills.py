"""Views of processes that were killed, and views whose files were damaged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from outlive.events import LmdbLog
from outlive.testing.kills import Victim
from tests.crash import view_programs
from tests.crash.view_programs import owners_view, visitors_view
from tests.support.views import end_run, start_run, view_file


@pytest.mark.parametrize("seed", [1, 2])
def test_wherever_a_process_is_killed_its_view_is_the_fold_of_the_log(
    seed: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills: int = int(str(pytestconfig.getoption("--kills"))) // 5
    rng = random.Random(seed)
    for number in range(kills):
        process = Victim(view_programs.owner, str(tmp_path), seed * 1_000 + number)
        process.hear("open", timeout=60)
        with pytest.raises(TimeoutError):
            process.wait(rng.random() * rng.choice((0.01, 0.05, 0.1)))
        assert process.kill()
        process.end()
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

    process = Victim(view_programs.damage_and_look, str(tmp_path), whole, seed, 25)
    code = process.wait(120)
    told = process.heard()
    assert (code, told[-1]) == (0, ("done",)), told[-1:]
    process.end()
