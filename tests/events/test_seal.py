"""Which data files are looked at before LMDB is given them, and what a damaged one comes to."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from outlive.events import CorruptLog, Fenced, LmdbLog, LmdbReader, LmdbVisitor, Version
from outlive.events.lmdb_store import seal
from outlive.events.lmdb_store.meta import epoch_row
from outlive.events.lmdb_store.structure import structure_faults
from outlive.testing.log_contract.filling import A, Filler, delta
from tests.events.lmdb_files import DATA
from tests.events.programs import Program

SEAL = Path("log", "seal.json")
OPENERS: tuple[Callable[[Path], LmdbLog | LmdbReader | LmdbVisitor], ...] = (
    LmdbReader,
    LmdbVisitor,
    LmdbLog,
)
OWN = """
    import sys
    from outlive.events import LmdbLog
    from outlive.testing.log_contract.filling import Filler
    log = LmdbLog(sys.argv[1])
    Filler(log).append("owned").result(5)
    print("owned", flush=True)
    sys.stdin.readline()
    log.close()
"""


class Looks:
    """Counts how often a data file was looked at."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, data_file: Path) -> list[str] | None:
        self.count += 1
        return structure_faults(data_file)

    def in_opening(self, path: Path, opener: Callable[[Path], object] = LmdbLog) -> int:
        """Open and close a log; return how often it was looked at."""
        before = self.count
        log = opener(path)
        assert isinstance(log, LmdbLog | LmdbReader | LmdbVisitor)
        log.close()
        return self.count - before


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(seal, "structure_faults", looks)
    return looks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log whose owner has closed it."""
    path = tmp_path / "data"
    log = LmdbLog(path)
    for number in range(30):
        Filler(log).append(f"{number}").result(5)
    log.close()
    return path


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are large ones."""
    monkeypatch.setattr(seal, "SMALL_BYTES", 0)


def kill_an_owner(path: Path) -> None:
    with Program(OWN, path) as owner:
        assert owner.line() == "owned"
        owner.kill()


@pytest.mark.parametrize("opener", OPENERS)
def test_what_a_clean_end_has_left_is_not_looked_at(
    path: Path, looks: Looks, opener: Callable[[Path], object]
) -> None:
    assert looks.in_opening(path, opener) == 0
    assert looks.in_opening(path) == 0
    assert looks.in_opening(path, opener) == 0


def test_a_new_log_is_not_looked_at(tmp_path: Path, looks: Looks) -> None:
    assert looks.in_opening(tmp_path) == 0


@pytest.mark.parametrize("opener", OPENERS)
def test_what_a_killed_owner_has_left_is_looked_at_if_it_is_small(
    path: Path, looks: Looks, opener: Callable[[Path], object]
) -> None:
    kill_an_owner(path)
    assert looks.in_opening(path, opener) == 1


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("opener", OPENERS)
def test_what_a_killed_owner_has_left_is_not_looked_at_if_it_is_large(
    path: Path, looks: Looks, opener: Callable[[Path], object]
) -> None:
    kill_an_owner(path)
    assert looks.in_opening(path, opener) == 0


@pytest.mark.parametrize("opener", [LmdbReader, LmdbVisitor])
def test_what_has_an_owner_is_not_looked_at(
    path: Path, looks: Looks, opener: Callable[[Path], object]
) -> None:
    with Program(OWN, path) as owner:
        assert owner.line() == "owned"
        assert looks.in_opening(path, opener) == 0


@pytest.mark.usefixtures("large")
def test_a_copy_is_looked_at_until_somebody_writes_it(
    path: Path, tmp_path: Path, looks: Looks
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)  # with times and seal
    for _ in range(2):
        assert looks.in_opening(copy, LmdbReader) == 1
    assert looks.in_opening(copy, LmdbVisitor) == 1
    assert looks.in_opening(copy, LmdbReader) == 0
    assert looks.in_opening(copy) == 0


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("end", ["clean", "killed"])
def test_after_a_restart_of_the_machine_a_file_is_looked_at(
    path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    if end == "killed":
        kill_an_owner(path)
    monkeypatch.setattr(seal, "boot_id", lambda: "another")
    assert looks.in_opening(path) == 1
    assert looks.in_opening(path) == 0


@pytest.mark.usefixtures("large")
def test_where_no_restart_can_be_told_a_file_is_looked_at_each_time(
    path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "boot_id", lambda: "")
    assert [looks.in_opening(path) for _ in range(2)] == [1, 1]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("times", ["left", "put back"])
def test_a_file_that_was_written_from_outside_is_looked_at(
    path: Path, looks: Looks, times: str
) -> None:
    before = (path / DATA).stat()
    first = (path / DATA).read_bytes()[:1]
    with (path / DATA).open("r+b") as file:  # in the very moment after the clean end
        file.write(first)
    if times == "put back":
        while (path / DATA).stat().st_ctime_ns == before.st_ctime_ns:  # the clock's next tick
            os.utime(path / DATA, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert looks.in_opening(path) == 1


@pytest.mark.usefixtures("large")
def test_an_earlier_state_put_back_in_place_is_looked_at(path: Path, looks: Looks) -> None:
    before = (path / DATA).read_bytes()
    LmdbLog(path).close()
    kill_an_owner(path)
    (path / DATA).write_bytes(before)
    assert looks.in_opening(path) == 1


@pytest.mark.usefixtures("large")
def test_what_a_visitor_has_written_without_an_owner_is_known(path: Path, looks: Looks) -> None:
    visitor = LmdbVisitor(path)
    visitor.submit("one", A, b"data")
    visitor.close()
    assert looks.in_opening(path, LmdbReader) == 0
    owner = LmdbVisitor(path).take_over()
    Filler(owner).append("x").result(5)
    owner.close()
    assert looks.count == 0
    assert looks.in_opening(path) == 0


def test_an_owner_that_was_replaced_notes_nothing(path: Path) -> None:
    log = LmdbLog(path)
    with log._opened.env.begin(write=True) as txn:
        txn.put(b"epoch", epoch_row(99), db=log._opened.tables.meta)
    with pytest.raises(Fenced):
        log.append(A, delta("x"), expected_version=Version(30)).result(5)
    noted = (path / SEAL).read_bytes()
    log.close()
    assert (path / SEAL).read_bytes() == noted
    assert b'"rest":null' in noted


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"boot_id":1}', b"\xff" * 100])
def test_a_note_that_cannot_be_read_costs_a_look(
    path: Path, looks: Looks, content: bytes | None
) -> None:
    if content is None:
        (path / SEAL).unlink()
    else:
        (path / SEAL).write_bytes(content)
    assert [looks.in_opening(path) for _ in range(2)] == [1, 0]


def test_a_reader_notes_nothing(path: Path) -> None:
    (path / SEAL).unlink()
    LmdbReader(path).close()
    assert not (path / SEAL).exists()


def test_the_whole_file_is_looked_at(path: Path) -> None:
    """A page in the midst of a table's tree: LMDB itself would not notice before it reads it."""
    content = bytearray((path / DATA).read_bytes())
    pages = range(2, len(content) // 4096)
    refused = 0
    for page in pages:
        damaged = bytearray(content)
        damaged[page * 4096 + 14] ^= 0xFF  # where its rows begin
        (path / DATA).write_bytes(damaged)
        try:
            LmdbReader(path).close()
        except CorruptLog:
            refused += 1
            for opener in (LmdbVisitor, LmdbLog):
                with pytest.raises(CorruptLog, match=r"data\.mdb"):
                    opener(path)
    assert refused >= len(pages) // 3  # The others are free.
    (path / DATA).write_bytes(content)
    LmdbLog(path).close()
