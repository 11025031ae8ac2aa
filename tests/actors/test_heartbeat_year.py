"""Some days, or with `--days 365` a year, of heartbeats, with crashes and clocks that are set.

Every instant of every schedule has one decision, none fires twice, and nothing comes in a burst.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from outlive.actors import Agent, Cron, EchoModel, Runtime
from outlive.events import FireSkipped, HeartbeatFired, InstantsPassed, Record, RunStarted
from outlive.events.ids import id_of
from outlive.testing import Simulation
from tests.support.views import records_of

START = datetime(2030, 3, 9, tzinfo=UTC)  # clocks are put forward in New York on the second day
HOUR_NS = 3_600_000_000_000
MIXED: dict[str, dict[str, Any]] = {
    "hourly": {"cron": "@hourly", "timezone": "UTC"},
    "often": {"cron": "*/10 * * * *", "timezone": "America/New_York", "misfire": "skip"},
    "night": {"cron": "30 2 * * *", "timezone": "America/New_York", "misfire": "all"},
    "workdays": {"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin", "jitter": 600},
    "every": {"every": 1_234, "overlap": "queue"},
    "graceful": {"every": 3_600, "grace": 1_800},
}


def agents(_: object) -> list[Agent]:
    return [Agent("echo", model=EchoModel())]


async def create(rt: Runtime) -> None:
    for id, fields in MIXED.items():
        await rt.heartbeats.create(id=id, agent_id="echo", prompt="p", **fields)


class Heard:
    """What the log says of the instants of each heartbeat."""

    def __init__(self, sim: Simulation) -> None:
        self.decided: dict[str, list[tuple[int, int, int]]] = {id: [] for id in MIXED}
        self.fired: dict[str, list[int]] = {id: [] for id in MIXED}
        self.runs: Counter[str] = Counter()
        for record in sim.run(_read):
            id = id_of(record.stream).removeprefix("hb_")
            for event in record.events:
                match event:
                    case HeartbeatFired():
                        self.decided[id].append((event.due_ns, event.due_ns, 1))
                        self.fired[id].append(event.at_ns)
                    case FireSkipped():
                        self.decided[id].append((event.due_ns, event.due_ns, 1))
                    case InstantsPassed():
                        self.decided[id].append((event.first_ns, event.last_ns, event.count))
                    case RunStarted():
                        self.runs[id] += 1
                    case _:
                        pass


async def _read(rt: Runtime) -> list[Record]:
    return records_of(rt.log)


def _ns(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1_000


def _at(at_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1_000)


def _check(id: str, decided: list[tuple[int, int, int]]) -> None:
    """Each instant, from the first to the last that is decided, has one decision."""
    decided.sort()
    fields = MIXED[id]
    for (_, last, _), (first, _, _) in pairwise(decided):
        assert last < first, f"{id}: {first} is decided twice"
        if "cron" in fields:
            following = Cron(fields["cron"], fields["timezone"]).next(_at(last))
            assert following is not None
            assert _ns(following) == first, f"{id}: nothing is decided for {following}"
        else:
            assert first - last == fields["every"] * 1_000_000_000, f"{id}: a gap after {last}"
    for first, last, count in decided:
        if "cron" in fields:
            cron = Cron(fields["cron"], fields["timezone"])
            assert cron.count(_at(first), _at(last + 1_000)) == count
        else:
            assert (last - first) // (fields["every"] * 1_000_000_000) + 1 == count


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "invariants"), [(1, True), (2, False)])
def test_every_instant_has_one_decision_and_nothing_comes_in_a_burst(
    seed: int, invariants: bool, pytestconfig: pytest.Config
) -> None:
    days = int(str(pytestconfig.getoption("--days")))
    random = Random(seed)
    with Simulation(
        agents, seed=seed, start=START, invariants=invariants and days <= 7, restart_after=1.0
    ) as sim:
        sim.run(create)
        for _ in range(days * 4):
            sim.advance(random.uniform(60, 12 * 3_600 - 60))
            match random.randrange(5):
                case 0 | 1:
                    sim.crash(power_loss=random.random() < 0.3)
                    sim.advance(random.uniform(0, 2))
                case 2:
                    sim.freeze()
                    sim.advance(random.uniform(10, 4_000))
                    sim.thaw()
                case 3:
                    sim.jump_clock(random.choice([-3_600.0, -5.0, 5.0, 7_200.0]))
                case _:
                    sim.stop()
            sim.run_until_up()
        heard = Heard(sim)
    for id, decided in heard.decided.items():
        assert len(decided) >= days // 2 or id == "workdays", id
        _check(id, decided)
        # However long nobody was there, no more fires than one a decided instant, spread out.
        fired = sorted(heard.fired[id])
        within = [late for late, early in zip(fired[3:], fired, strict=False) if late == early]
        assert not within, f"{id} has fired four times at once"
    assert max(heard.runs.values()) == 1, "a run was begun twice"
