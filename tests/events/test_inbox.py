"""Rows of commands and replies that are not what was written: never obeyed, never told."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outlive.events import (
    CorruptLog,
    LmdbLog,
    LmdbReader,
    LmdbVisitor,
    LogFailed,
    Submitted,
    Version,
)
from outlive.events.lmdb_store.inbox import REPLIES_KEPT_NS
from outlive.events.lmdb_store.layout import CLEAN, EPOCH, LOG_ID, SUBMITTED
from outlive.events.lmdb_store.sums import content_of, summed
from outlive.events.lmdb_store.verify import verify_here
from outlive.testing.log_contract.filling import A, delta
from tests.events.lmdb_files import delete_row, rows, write_row

START_NS = 1_700_000_000_000_000_000


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four commands: one and three wait, two and four are answered."""
    LmdbLog(tmp_path).close()
    visitor = LmdbVisitor(tmp_path)
    for name in ("one", "two", "three", "four"):
        visitor.submit(name, A, f"do {name}".encode())
    visitor.close()
    answer(tmp_path, "two", "four")
    assert verify_here(tmp_path).ok
    return tmp_path


def answer(path: Path, *names: str, clock: Hands | None = None) -> None:
    log = LmdbLog(path, clock=clock or Hands())
    for name in names:
        log.append(
            A, [], expected_version=Version(0), command_id=name, reply=f"did {name}".encode()
        ).result(5)
    log.close()


def submitted(path: Path) -> list[Submitted]:
    reader = LmdbReader(path)
    found = reader.submitted()
    reader.close()
    return found


def flip(path: Path, table: str, index: int, at: int) -> None:
    """Flip a bit in a row, which LMDB's pages do not tell."""
    key, row = rows(path)[table][index]
    changed = bytearray(row)
    changed[at] ^= 1
    write_row(path, table, key, bytes(changed))


def test_a_command_with_a_changed_bit_is_not_handed_over(path: Path) -> None:
    size = len(rows(path)["inbox"][0][1])
    for at in range(size):
        flip(path, "inbox", 0, at)
        found = submitted(path)
        assert [(one.command_id, one.data) for one in found] == [("", b""), ("three", b"do three")]
        assert "command 1 in the inbox" in verify_here(path).reason
        flip(path, "inbox", 0, at)
    assert submitted(path)[0].data == b"do one"


def test_a_command_under_another_number_is_not_handed_over(path: Path) -> None:
    (_, row), _ = rows(path)["inbox"]
    write_row(path, "inbox", (2).to_bytes(8, "big"), row)
    assert [one.command_id for one in submitted(path)] == ["one", "", "three"]


def test_a_reply_with_a_changed_bit_is_an_error_and_no_answer(path: Path) -> None:
    names = [key.decode() for key, _ in rows(path)["replies"]]
    for name in ("one", "two"):
        index = names.index(name)
        for at in range(len(rows(path)["replies"][index][1])):
            flip(path, "replies", index, at)
            visitor = LmdbVisitor(path)
            for ask in (visitor.reply, visitor.waits):
                with pytest.raises(CorruptLog, match=f"command '{name}'"):
                    ask(name)
            assert visitor.reply("four") == b"did four"
            visitor.close()
            assert name in verify_here(path).reason
            flip(path, "replies", index, at)
    assert verify_here(path).ok


def test_a_command_whose_waiting_row_is_damaged_is_done_once_and_answered(path: Path) -> None:
    names = [key.decode() for key, _ in rows(path)["replies"]]
    flip(path, "replies", names.index("three"), 8)
    assert [one.command_id for one in submitted(path)] == ["one", "three"]
    answer(path, "three")
    assert [one.command_id for one in submitted(path)] == ["one"]
    visitor = LmdbVisitor(path)
    assert visitor.reply("three") == b"did three"
    visitor.close()
    assert verify_here(path).ok


def test_a_reply_whose_age_is_damaged_is_kept(path: Path) -> None:
    ages = rows(path)["expiries"]
    (damaged,) = [index for index, (key, _) in enumerate(ages) if key.endswith(b"two")]
    flip(path, "expiries", damaged, 0)
    assert "age of the reply to command 'two'" in verify_here(path).reason
    clock = Hands()
    clock.ns += REPLIES_KEPT_NS + 1
    answer(path, "one", clock=clock)
    assert {key for key, _ in rows(path)["replies"]} == {b"one", b"two", b"three"}


def test_a_reply_that_is_given_again_has_one_age(path: Path) -> None:
    clock = Hands()
    clock.ns += REPLIES_KEPT_NS // 2
    answer(path, "two", clock=clock)
    assert len(rows(path)["expiries"]) == 2
    clock.ns += REPLIES_KEPT_NS // 2 + 1
    answer(path, "one", clock=clock)
    assert {key for key, _ in rows(path)["replies"]} == {b"one", b"two", b"three"}
    assert verify_here(path).ok


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def lose(table: str, index: int) -> Callable[[Path], None]:
    return lambda path: delete_row(path, table, rows(path)[table][index][0])


AMISS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a command lacks": (lose("inbox", 0), "'one' lacks in the inbox"),
    "a row of replies lacks": (
        lambda path: delete_row(path, "replies", b"one"),
        "'one' lacks in the table of replies",
    ),
    "a reply lacks": (lambda path: delete_row(path, "replies", b"two"), "expiries"),
    "an age lacks": (lose("expiries", 0), "age of the reply"),
    "an age of no reply": (
        lambda path: write_row(
            path, "expiries", number(1) + b"two", summed(number(1) + b"two", b"")
        ),
        "expiries",
    ),
    "more commands than were put": (
        lambda path: write_row(path, "meta", SUBMITTED, summed(SUBMITTED, number(2))),
        "more commands",
    ),
    "another row in meta": (lambda path: write_row(path, "meta", b"more", b""), "other rows"),
}


@pytest.mark.parametrize("name", AMISS)
def test_tables_that_do_not_fit_each_other_are_seen(path: Path, name: str) -> None:
    damage, reason = AMISS[name]
    damage(path)
    assert reason in verify_here(path).reason


@pytest.mark.parametrize("key", [LOG_ID, EPOCH, CLEAN, SUBMITTED])
def test_a_row_of_meta_that_is_changed_or_lacks_is_refused_at_opening(
    path: Path, key: bytes
) -> None:
    row = dict(rows(path)["meta"])[key]
    changed = bytearray(row)
    changed[-1] ^= 1
    other = summed(b"another key", content_of(key, row) or b"")
    for damaged in (bytes(changed), row[:3], other, None):
        if damaged is None:
            delete_row(path, "meta", key)
        else:
            write_row(path, "meta", key, damaged)
        for opener in (LmdbReader, LmdbVisitor, LmdbLog):
            with pytest.raises(CorruptLog, match=key.decode()):
                opener(path)
        assert key.decode() in verify_here(path).reason
        write_row(path, "meta", key, row)
    LmdbLog(path).close()


def test_an_owner_that_cannot_tell_who_owns_the_log_writes_nothing(path: Path) -> None:
    log = LmdbLog(path)
    with log._opened.env.begin(write=True) as txn:
        txn.put(EPOCH, b"\0" * 12, db=log._opened.tables.meta)
    with pytest.raises(LogFailed, match="epoch"):
        log.append(A, delta("x"), expected_version=Version(0)).result(5)
    log.close()
