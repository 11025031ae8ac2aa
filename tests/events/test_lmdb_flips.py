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

from outlive.events import (
    Event,
    LmdbLog,
    LmdbVisitor,
    ModelCallCompleted,
    ModelCallStarted,
    OpenEntry,
    Version,
    run_stream,
)
from outlive.events.lmdb_store.gaps import is_gap
from outlive.testing.log_contract.filling import A, B, C, Filler, delta
from tests.events.examiner import COMMANDS, REFUSED, Examined
from tests.events.lmdb_files import DATA, appended_together, rows
from tests.events.programs import ROOT

PAGE = 4096
TRANSACTION_AT = 144


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several hundred records in rows of all forms, and rows in all tables."""
    path = tmp_path_factory.mktemp("original") / "log"
    log = LmdbLog(path)
    a, b = Filler(log, A), Filler(log, B)
    for number in range(60):
        a.append(f"{number} alone", "and more").result(5)
        b.append("x" * number).result(5)
    appended_together(log, lambda: [a.append(f"{number} together") for number in range(150)])
    appended_together(log, lambda: [b.append("x" * 300) for _ in range(100)])
    b.append("x" * 30_000).result(5)
    b.append(*("y" * number for number in range(100))).result(5)
    for number in range(24):
        stream = run_stream(f"{number:03}")
        summary = {"agent": f"the one with number {number}"}
        entry = OpenEntry(kind="run", status="running", wake_at_ns=number, summary=summary)
        state = b"state" * number if number % 2 else None
        log.append(
            stream, delta("x"), expected_version=Version(0), entry=entry, snapshot=state
        ).result(5)
    for number in range(0, 24, 3):
        stream = run_stream(f"{number:03}")
        log.append(stream, delta("x"), expected_version=Version(1), entry=None).result(5)
    answers: list[list[Event]] = [
        [ModelCallStarted(model="m")],
        *(delta(str(number)) for number in range(70)),
        [ModelCallCompleted(text="...")],
    ]
    for answer in answers:
        log.append(C, answer, expected_version=log.version(C)).result(5)
    log.compact()
    log.append(C, delta("x" * 70_000), expected_version=log.version(C)).result(5)
    log.close()
    put_commands(path)
    assert {name for name, table in rows(path).items() if len(table) < 3} == {"blobs"}
    assert any(is_gap(row) for _, row in rows(path)["log"])
    return path


def put_commands(path: Path) -> None:
    """Every second one of them waits, every other one is answered."""
    visitor = LmdbVisitor(path)
    for number, name in enumerate(COMMANDS):
        visitor.submit(name, A, b"told " * number)
    visitor.close()
    log = LmdbLog(path)
    for number, name in enumerate(COMMANDS[1::2]):
        log.append(
            A, [], expected_version=log.version(A), command_id=name, reply=b"answer " * number
        ).result(5)
    log.close()


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
        self.original = self.examine(self.content)

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
        """What became of a damaged file: `found out`, `the same`, or what must not be.

        Found out is by `verify` or by who reads: refused, and not given as something else.
        """
        found = self.examine(content)
        if found.died:
            return f"died: {found.died}"
        other = {
            f"{who}: {name}"
            for who in ("reader", "visitor", "owner")
            for name, one in getattr(found, who).items()
            if one != getattr(self.original, who).get(name) and not one.startswith(REFUSED)
        }
        if found.detected:
            return "found out"
        if other or found.stored != self.original.stored:
            return f"unseen: {sorted(other)}"
        return "the same"

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
        # One in the page's header or among the pointers, and one anywhere.
        for at in (chance.randrange(64), chance.randrange(PAGE)):
            bit = chance.randrange(8)
            found.setdefault(examiner.flipped(page * PAGE + at, bit), []).append((page, at))
    assert found.keys() <= {"found out", "the same"}, found
    assert len(found["found out"]) > len(pages) // 2


def test_the_number_of_a_root_that_is_changed_is_found_out(examiner: Examiner) -> None:
    """The root before is in order too: LMDB would take it, and the last commit would be gone."""
    for page in (0, 1):
        for bit in range(12):
            at = page * PAGE + TRANSACTION_AT + bit // 8
            assert examiner.flipped(at, bit % 8) == "found out", (page, bit)


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
    cuts = [*range(0, size_bytes, PAGE), *range(1_000, size_bytes, 9 * PAGE), size_bytes - 1]
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
