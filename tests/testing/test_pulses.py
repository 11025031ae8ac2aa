"""The rules of heartbeats that a simulation looks after notice what is wrong."""

from __future__ import annotations

import pytest

from outlive.actors.heartbeat.decide import FAR_AHEAD_NS
from outlive.events import (
    Event,
    FireClaimed,
    FireScheduled,
    FireSkipped,
    HeartbeatFired,
    InstantsPassed,
    MemoryLog,
    Version,
    heartbeat_stream,
)
from outlive.testing._pulses import Pulses
from outlive.testing.log_contract.filling import Ticks

STREAM = heartbeat_stream("hb_h")
BEGUN: list[Event] = [FireScheduled(due_ns=10, anchor_ns=0)]
FIRED: list[Event] = [
    FireClaimed(fire=1, due_ns=10),
    HeartbeatFired(fire=1, due_ns=10, run_id="r"),
    FireScheduled(due_ns=20),
]


def heard(*commits: list[Event]) -> str:
    """Return the rule that these commits break; empty if they break none."""
    log, pulses = MemoryLog(clock=Ticks(1)), Pulses()
    for commit in commits:
        version = log.version(STREAM)
        log.append(STREAM, commit, expected_version=Version(version)).result(5)
    for record in log.read_all():
        pulses.hear(record)
    problem = pulses.problem()
    return "" if problem is None else problem[0]


def test_what_is_right_is_left_alone() -> None:
    passed = InstantsPassed(decision="missed", first_ns=20, last_ns=40, count=3)
    assert heard(BEGUN, FIRED, [passed, FireScheduled(due_ns=50)]) == ""
    anew = FireScheduled(due_ns=95, anchor_ns=90)
    assert heard(BEGUN, [anew], [FireSkipped(due_ns=95), FireScheduled(due_ns=99)]) == ""
    ahead: list[Event] = [
        InstantsPassed(decision="missed", first_ns=10, last_ns=2 * FAR_AHEAD_NS, count=9),
        FireScheduled(due_ns=2 * FAR_AHEAD_NS + 10),
    ]
    now: list[Event] = [FireScheduled(due_ns=20, anchor_ns=10)]
    again: list[Event] = [FireSkipped(due_ns=20), FireScheduled(due_ns=30)]
    assert heard(BEGUN, ahead, now, again) == ""
    assert (
        heard(BEGUN, ahead, now, again, [FireSkipped(due_ns=20)]) == "an instant has one decision"
    )


def test_an_instant_may_take_the_place_of_one_that_is_being_prepared() -> None:
    claimed: list[Event] = [FireClaimed(fire=1, due_ns=10), FireScheduled(due_ns=20)]
    replaced: list[Event] = [
        FireSkipped(due_ns=10, reason="overlap", fire=1),
        FireClaimed(fire=2, due_ns=20),
        FireScheduled(due_ns=30),
    ]
    assert heard(BEGUN, claimed, replaced) == ""


@pytest.mark.parametrize(
    ("commits", "rule"),
    [
        ([BEGUN, FIRED, [FireSkipped(due_ns=10)]], "an instant has one decision"),
        (
            [BEGUN, FIRED, BEGUN, [FireSkipped(due_ns=10), FireScheduled(due_ns=20)]],
            "an instant has one decision",
        ),
        ([BEGUN, FIRED, [FireClaimed(fire=1, due_ns=20)]], "an instant has one decision"),
        (
            [BEGUN, [FireSkipped(due_ns=20), FireScheduled(due_ns=30)]],
            "no instant is left out",
        ),
        ([BEGUN, [FireScheduled(due_ns=20)]], "no instant is left out"),
        (
            [
                BEGUN,
                [
                    InstantsPassed(decision="missed", first_ns=15, last_ns=40, count=3),
                    FireScheduled(due_ns=50),
                ],
            ],
            "no instant is left out",
        ),
    ],
)
def test_what_is_wrong_is_noticed(commits: list[list[Event]], rule: str) -> None:
    assert heard(*commits) == rule
