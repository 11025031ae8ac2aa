"""`outlive verify` says what it found, and its exit code says it to programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.cli._app import run
from outlive.events import LmdbLog, RunStarted, Version, run_stream, verify
from tests.cli.support import objects

STREAM = run_stream("one")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # So that paths are short.
    log = LmdbLog("data")
    for version in range(3):
        started = RunStarted(agent_id="a", input=f"the {version}. time")
        log.append(STREAM, [started], expected_version=Version(version)).result(5)
    log.close()
    return Path("data")


def damaged(data: Path) -> None:
    file = data / "log" / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"the 1. time", b"the 8. time"))


def test_a_sound_log_is_told_with_its_head(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = verify(data)
    assert lines[1:] == [
        "status   ok",
        "records  3",
        "events   3",
        "streams  1",
        "gaps     0",
        f"head     3:{head.head_hash}",
    ]
    assert run(["verify", "--data", str(data), "--expect", f"3:{head.head_hash}"]) == 0


def test_a_bad_log_is_told_with_the_place(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged(data)
    assert run(["verify", "--data", str(data)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "status    bad at position 2"
    assert lines[2].startswith("reason    its hash is not")


def test_json_has_all_fields_in_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged(data)
    assert run(["verify", "--data", str(data), "--json"]) == 1
    (found,) = objects(capsys.readouterr().out)
    assert (found["status"], found["position"], found["records"]) == ("bad", 2, 1)
    assert found["log"] == str(data)


def test_another_head_than_the_one_kept_is_bad(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "--data", str(data), "--expect", "3:" + "0" * 64]) == 1
    assert "kept elsewhere" in capsys.readouterr().out


def test_what_cannot_be_opened_has_another_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "--data", str(tmp_path / "nowhere")]) == 3
    assert "there is no log" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["3", "3:abc", "x:" + "0" * 64, "9" * 5_000 + ":" + "0" * 64])
def test_a_head_that_is_none_is_wrong_usage(data: Path, head: str) -> None:
    assert run(["verify", "--data", str(data), "--expect", head]) == 2
