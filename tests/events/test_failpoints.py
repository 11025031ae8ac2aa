"""Points at which a test makes something happen."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from outlive.events import failpoints

ONE, TWO = failpoints.NAMES[:2]


@pytest.fixture(autouse=True)
def disarmed() -> Generator[None]:
    yield
    failpoints.disarm_all()


def test_an_action_is_called_once_the_nth_time() -> None:
    called: list[int] = []
    failpoints.arm(ONE, lambda: called.append(1), nth=3)
    for _ in range(2):
        failpoints.hit(ONE)
        failpoints.hit(TWO)
    assert called == []
    assert failpoints.armed
    for _ in range(4):
        failpoints.hit(ONE)
    assert called == [1]
    assert not failpoints.armed


def test_what_an_action_raises_is_met_where_the_point_is() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    failpoints.arm(ONE, fail)
    with pytest.raises(ZeroDivisionError):
        failpoints.hit(ONE)
    failpoints.hit(ONE)


def test_an_action_may_arm_its_point_again() -> None:
    called: list[int] = []

    def again() -> None:
        called.append(1)
        failpoints.arm(ONE, again)

    failpoints.arm(ONE, again)
    for _ in range(3):
        failpoints.hit(ONE)
    assert called == [1, 1, 1]


def test_disarmed_points_do_nothing() -> None:
    failpoints.arm(ONE, pytest.fail)
    failpoints.arm(TWO, pytest.fail)
    failpoints.disarm_all()
    assert not failpoints.armed
    failpoints.hit(ONE)


def test_an_unknown_name_and_a_count_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no failpoint 'batch\.putt'"):
        failpoints.arm("batch.putt", lambda: None)
    with pytest.raises(ValueError, match="nth"):
        failpoints.arm(ONE, lambda: None, nth=0)
    assert not failpoints.armed


def test_names_are_in_groups_and_none_stands_twice() -> None:
    assert len(set(failpoints.NAMES)) == len(failpoints.NAMES)
    assert all(len(name.split(".")) == 2 for name in failpoints.NAMES)
