"""A flipped bit or a cut anywhere in the data file: found out, or of no consequence.

LMDB's pages have no checksums. `verify` checks their structure from outside, then everything
that is in them against the chain of hashes and against one another. So what it calls ok must
read as it did before the damage: then the damage is in a byte that carries nothing.

`--flips N` tries N more bits, each at a random place.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Generator
from itertools import count
from pathlib import Path

import msgspec
import pytest

from outlive.events import LmdbLog, OpenEntry, Version, run_stream
from outlive.testing.log_contract.filling import A, B, Filler, delta
from tests.events.examiner import Examined, everything
from tests.events.lmdb_files import DATA, appended_together, rows
from tests.events.programs import ROOT

PAGE = 4096
UNCOVERED = {"rows of meta"}
"""The epoch may be raised, the mark of a clean end be another: nothing else tells them."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several hundred records of many streams, in rows of all forms, and an open table."""
    path = tmp_path_factory.mktemp("original") / "log"
    log = LmdbLog(path)
    a, b = Filler(log, A), Filler(log, B)
    for number in range(100):
        a.append(f"{number} alone", "and more").result(5)
        b.append("x" * number).result(5)
    appended_together(log, lambda: [a.append(f"{number} together") for number in range(300)])
    appended_together(log, lambda: [b.append("x" * 300) for _ in range(100)])
    b.append("x" * 30_000).result(5)
    b.append(*("y" * number for number in range(100))).result(5)
    for number in range(60):
        stream = run_stream(f"{number:03}")
        summary = {"agent": f"the one with number {number}"}
        entry = OpenEntry(kind="run", status="running", wake_at_ns=number, summary=summary)
        log.append(stream, delta("x"), expected_version=Version(0), entry=entry).result(5)
    for number in range(0, 60, 3):
        stream = run_stream(f"{number:03}")
        log.append(stream, delta("x"), expected_version=Version(1), entry=None).result(5)
    log.close()
    assert len(rows(path)["open"]) == 40
    return path


class Examiner:
    """Puts damaged copies before a process that may die of them."""

    def __init__(self, original: Path, folder: Path) -> None:
        self._copies = (folder / f"{number}" for number in count())
        self._marker = (original / "log.json").read_bytes()
        self.content = (original / DATA).read_bytes()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.events.examiner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.original = everything(original)

    def examine(self, content: bytes) -> Examined:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        path = next(self._copies)
        (path / DATA).parent.mkdir(parents=True)
        (path / "log.json").write_bytes(self._marker)
        (path / DATA).write_bytes(content)
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        found = msgspec.json.decode(self._process.stdout.readline(), type=Examined)
        shutil.rmtree(path)
        return found

    def judge(self, content: bytes) -> str:
        """What became of a damaged file: `found out`, `the same`, or what must not be."""
        found = self.examine(content)
        if found.died:
            return f"died: {found.died}"
        if found.detected:
            return "found out"
        other = {name for name in self.original if found.read.get(name) != self.original[name]}
        return "the same" if other <= UNCOVERED else f"unseen: {sorted(other)}"

    def flipped(self, at: int, bit: int) -> str:
        content = bytearray(self.content)
        content[at] ^= 1 << bit
        return self.judge(bytes(content))

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def examiner(
    original: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Examiner, None, None]:
    examiner = Examiner(original, tmp_path_factory.mktemp("copies"))
    yield examiner
    examiner.close()


def test_what_is_not_damaged_is_the_same(examiner: Examiner) -> None:
    assert examiner.judge(examiner.content) == "the same"


@pytest.mark.slow
@pytest.mark.parametrize("share", range(4))
def test_a_flipped_bit_in_each_page_is_found_out_or_carries_nothing(
    examiner: Examiner, share: int
) -> None:
    chance = random.Random(share)
    pages = range(share, len(examiner.content) // PAGE, 4)
    found: dict[str, list[tuple[int, int]]] = {}
    for page in pages:
        # One in the page's header, one among the pointers and two anywhere.
        places = (chance.randrange(16), chance.randrange(16, 64), *chance.choices(range(PAGE), k=2))
        for at in places:
            bit = chance.randrange(8)
            found.setdefault(examiner.flipped(page * PAGE + at, bit), []).append((page, at))
    assert found.keys() <= {"found out", "the same"}, found
    assert len(found["found out"]) > len(pages)


@pytest.mark.slow
def test_many_more_flipped_bits(examiner: Examiner, request: pytest.FixtureRequest) -> None:
    flips: int = request.config.option.flips
    chance = random.Random(flips)
    found: dict[str, list[tuple[int, int]]] = {}
    for _ in range(flips):
        at, bit = chance.randrange(len(examiner.content)), chance.randrange(8)
        found.setdefault(examiner.flipped(at, bit), []).append((at, bit))
    assert found.keys() <= {"found out", "the same"}, found


@pytest.mark.slow
def test_a_file_cut_off_at_any_page_is_found_out(examiner: Examiner) -> None:
    size_bytes = len(examiner.content)
    cuts = [*range(0, size_bytes, PAGE), *range(1_000, size_bytes, 5 * PAGE), size_bytes - 1]
    found: dict[str, list[int]] = {}
    for cut in cuts:
        found.setdefault(examiner.judge(examiner.content[:cut]), []).append(cut)
    assert found.keys() <= {"found out", "the same"}, found
    # Only pages at the end that are free may lack.
    assert len(found["found out"]) > len(cuts) * 0.9


@pytest.mark.slow
def test_pages_that_changed_places_are_found_out(examiner: Examiner) -> None:
    chance = random.Random(1)
    pages = range(len(examiner.content) // PAGE)
    found: dict[str, list[tuple[int, int]]] = {}
    for _ in range(20):
        one, other = chance.sample(pages, 2)
        content = bytearray(examiner.content)
        content[one * PAGE : (one + 1) * PAGE] = examiner.content[other * PAGE :][:PAGE]
        content[other * PAGE : (other + 1) * PAGE] = examiner.content[one * PAGE :][:PAGE]
        found.setdefault(examiner.judge(bytes(content)), []).append((one, other))
    assert found.keys() <= {"found out", "the same"}, found
