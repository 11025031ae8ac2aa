"""The owner's lock and lease: who may own a log, and when another one may take its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlive.events import LogInUse
from outlive.events.errors import LogFailed
from outlive.events.lmdb_store import owner_lock
from outlive.events.lmdb_store.owner_lock import OwnerLock, check_namespace, look_at_owner


class Time:
    """The machine's monotonic clock, as the test wants it."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(owner_lock, "_clock", clock)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "owner.lock"


def test_nobody_owns_a_log_that_was_never_opened(path: Path) -> None:
    assert look_at_owner(path) == ("none", None)


def test_one_holds_it_and_the_others_are_told_who(path: Path, time: Time) -> None:
    lock = OwnerLock.take(path)
    assert look_at_owner(path)[0] == "alive"
    with pytest.raises(LogInUse, match=f"process {os.getpid()}, this process"):
        OwnerLock.take(path)
    lock.release()
    assert look_at_owner(path) == ("none", None)
    OwnerLock.take(path).release()


def test_a_lease_that_is_not_renewed_runs_out(path: Path, time: Time) -> None:
    lock = OwnerLock.take(path)
    lock.renew(1, 5.0)
    time.now = 5_000_000_000
    assert look_at_owner(path)[0] == "alive"
    time.now += 1
    assert look_at_owner(path)[0] == "frozen"
    lock.renew(1, 5.0)
    assert look_at_owner(path)[0] == "alive"
    lock.release()


def test_a_lease_of_another_start_of_the_machine_has_run_out(
    path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.take(path)
    monkeypatch.setattr(owner_lock, "boot_id", lambda: "another")
    assert look_at_owner(path)[0] == "frozen"
    lock.release()


def test_an_owner_of_a_machine_whose_start_cannot_be_told_is_alive_while_its_lease_lasts(
    path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.take(path)
    monkeypatch.setattr(owner_lock, "boot_id", lambda: "")  # as in a chroot without /proc
    lock.renew(1, 5.0)
    assert look_at_owner(path)[0] == "alive"
    monkeypatch.setattr(owner_lock, "boot_id", lambda: "known to this one")
    assert look_at_owner(path)[0] == "alive"
    lock.release()


def test_the_place_of_a_frozen_owner_is_taken(path: Path, time: Time) -> None:
    frozen = OwnerLock.take(path)
    frozen.renew(1, 5.0)
    time.now = 6_000_000_000
    _, lease = look_at_owner(path)
    assert lease is not None
    new = OwnerLock.instead_of(path, lease)
    assert frozen.in_place
    new.put_in_place(lease)
    assert (frozen.in_place, new.in_place) == (False, True)
    # What the one that was frozen does with its lock touches nobody.
    frozen.renew(1, 5.0)
    frozen.release()
    assert look_at_owner(path)[0] == "alive"
    with pytest.raises(LogInUse):
        OwnerLock.take(path)
    new.release()
    assert [entry.name for entry in path.parent.iterdir()] == ["owner.lock"]


@pytest.mark.parametrize("who", ["the owner goes on", "another was first", "the owner is gone"])
def test_one_that_comes_too_late_takes_nothing(path: Path, time: Time, who: str) -> None:
    frozen = OwnerLock.take(path)
    frozen.renew(1, 5.0)
    time.now = 6_000_000_000
    _, lease = look_at_owner(path)
    assert lease is not None
    late, first = OwnerLock.instead_of(path, lease), OwnerLock.instead_of(path, lease)
    if who == "the owner goes on":
        frozen.renew(1, 5.0)
    elif who == "another was first":
        first.put_in_place(lease)
    else:
        frozen.release()
    with pytest.raises(LogInUse):
        late.put_in_place(lease)
    for lock in (late, first, frozen):
        lock.release()
    assert [entry.name for entry in path.parent.iterdir()] == ["owner.lock"]


def test_garbage_in_the_file_is_an_owner_that_cannot_be_named(path: Path) -> None:
    lock = OwnerLock.take(path)
    path.write_bytes(b"\xff" * 300)
    assert look_at_owner(path) == ("alive", None)
    with pytest.raises(LogInUse, match="unknown"):
        OwnerLock.take(path)
    lock.release()


def test_an_owner_in_another_container_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.take(path)
    check_namespace(path)
    monkeypatch.setattr(owner_lock, "_pid_namespace", lambda: 1)
    with pytest.raises(LogFailed, match="PID namespace"):
        check_namespace(path)
    lock.release()
    check_namespace(path)


@pytest.mark.parametrize("garbage", [b"\xff" * 300, b"", b"{}", b"[" * 400])
def test_what_somebody_else_wrote_into_the_file_tells_nothing(path: Path, garbage: bytes) -> None:
    lock = OwnerLock.take(path)
    path.write_bytes(garbage)
    assert look_at_owner(path) == ("alive", None)
    with pytest.raises(LogInUse, match="process unknown"):
        OwnerLock.take(path)
    lock.release()
    OwnerLock.take(path).release()
