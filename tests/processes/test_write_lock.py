"""A process that stands still within a transaction keeps all others from writing: it is named."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from outlive.events import LmdbLog, LmdbReader, LmdbVisitor, Version, WriterStuck, run_stream
from outlive.events.lmdb_store import visitor, write_lock
from tests.events.programs import Program

T = TypeVar("T")

HOLDER = """
    import sys, lmdb
    env = lmdb.Environment(sys.argv[1], map_size=1 << 30, max_dbs=16, lib_version=0)
    txn = env.begin(write=True)
    print("holds", flush=True)
    sys.stdin.readline()
    txn.abort()
    print("let go", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Program]:
    """A process that holds the write lock of the log in `tmp_path`."""
    LmdbLog(tmp_path).close()
    with Program(HOLDER, tmp_path / "log") as program:
        assert program.line() == "holds"
        yield program


@contextmanager
def impatient() -> Generator[None]:
    """Have whoever waits for the write lock lose patience at once; others may be slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_lock, "PATIENCE_S", 0.05)
        patch.setattr(visitor, "_PATIENCE_S", 0.05)
        yield


def test_opening_names_the_one_who_holds_the_lock(tmp_path: Path, holder: Program) -> None:
    with impatient(), pytest.raises(WriterStuck) as caught:
        LmdbLog(tmp_path)
    assert caught.value.pid == holder.pid
    assert caught.value.role == "visitor"


def test_what_was_waiting_is_not_done_later(
    tmp_path: Path, holder: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.say("let go")
    assert holder.line() == "let go"
    guest = LmdbVisitor(tmp_path)
    with Program(HOLDER, tmp_path / "log") as again:
        assert again.line() == "holds"
        with impatient(), pytest.raises(WriterStuck) as caught:
            guest.submit("c", run_stream("r"), b"")
        assert caught.value.pid == again.pid
        again.say("let go")
        assert again.line() == "let go"
    monkeypatch.setattr(visitor, "_PATIENCE_S", 20.0)
    guest.submit("d", run_stream("r"), b"")
    assert [command.command_id for command in guest.submitted()] == ["d"]
    guest.close()


@pytest.mark.usefixtures("holder")
def test_one_that_only_reads_is_not_concerned(tmp_path: Path) -> None:
    reader = LmdbReader(tmp_path)
    assert reader.head == 0
    reader.close()
    with impatient(), pytest.raises(WriterStuck):
        LmdbVisitor(tmp_path)


def test_after_the_death_of_the_holder_all_goes_on(tmp_path: Path, holder: Program) -> None:
    with impatient(), pytest.raises(WriterStuck):
        LmdbLog(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)
    with Program(
        "import sys; from outlive.events import LmdbLog; LmdbLog(sys.argv[1]).close(); print('ok')",
        tmp_path,
    ) as other:
        assert other.line() == "ok"


def test_an_owner_whose_writer_waits_says_so(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path, lease=0.2)
    with Program(HOLDER, tmp_path / "log") as program:
        assert program.line() == "holds"
        commit = log.append(run_stream("r"), [], expected_version=Version(0))
        stuck = wait_until(lambda: log.trouble)
        assert isinstance(stuck, WriterStuck)
        assert stuck.pid == program.pid
        program.say("go on")
        commit.result(20)
        wait_until(lambda: log.trouble is None)
    log.close()


def wait_until(look: Callable[[], T]) -> T:
    """Return what `look` finds, once it finds something."""
    while not (found := look()):
        continue
    return found
