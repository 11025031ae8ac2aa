"""Scenarios under random trouble, and what came of them: `python -m tests.testing.chances 0 300`.

For each seed a line: the seed, the hash of the log's last record, and a digest of all else that
can be seen. Two processes that are given the same seeds write the same lines, whatever their
PYTHONHASHSEED; with `--long` in full, to see what differs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from random import Random

from outlive.events import OutliveError
from outlive.events.values import digest
from outlive.testing import Client, Simulation
from outlive.testing._simulation.points import Fate
from tests.testing.scenarios import CASES


def played(seed: int) -> tuple[str, str]:
    """Return the hash of the log's last record, and all else that can be seen, as text."""
    case = CASES[seed % len(CASES)]
    random = Random(f"{seed} chances")
    crashes: dict[int, Fate] = {
        random.randrange(1, 40): random.choice(("kill", "freeze"))
        for _ in range(random.choice((0, 1, 1, 2, 3)))
    }
    with Simulation(
        case.agents,
        seed=seed,
        durability=random.choice(("sync", "relaxed")),
        max_recoveries=None,
        save_every=random.choice((1, 2, 5, 500)),
        late=random.choice((0.0, 0.0, 3.0)),
        crash_at=crashes,
    ) as sim:

        async def play(client: Client) -> str:
            troubles = [
                asyncio.get_running_loop().create_task(_trouble(sim, random))
                for _ in range(random.choice((0, 1, 2, 3)))
            ]
            try:
                returned = repr(await case.play(client))
            except OutliveError as error:
                returned = f"{type(error).__name__}: {error}"
            for trouble in troubles:
                await trouble
            return returned

        returned = sim.drive(play(sim.client))
        sim.run_until_idle()
        told = sim.acknowledged
        seen = (
            returned,
            sim.disk.store.open,
            told.started,
            told.results,
            [(one.run_id, one.after, one.seen) for one in told.observed],
            sim.world.ledger,
            [str(point) for point in sim.points.passed],
            sim.deaths,
            sim.clock.now_ns(),
            sim.loop.steps,
        )
        return sim.disk.store.head_hash.hex(), "\n".join(map(repr, seen))


async def _trouble(sim: Simulation, random: Random) -> None:
    """Something goes wrong after a while, and is mended a while later."""
    await asyncio.sleep(random.choice((0.0, 0.001, 0.01, 0.3, 2.0, 40.0)))
    trouble, mend = random.choice(_troubles(sim, random))
    trouble()
    await asyncio.sleep(random.choice((0.0, 0.01, 1.0, 30.0)))
    mend()


def _troubles(
    sim: Simulation, random: Random
) -> list[tuple[Callable[[], object], Callable[[], object]]]:
    disk = sim.disk

    def freeze() -> None:
        if sim.life is not None:
            sim.freeze()

    return [
        (sim.crash, _nothing),
        (lambda: sim.crash(power_loss=True), _nothing),
        (freeze, sim.thaw),
        (disk.fail, _nothing),
        (lambda: disk.fail(after_write=True), _nothing),
        (disk.overtake, _nothing),
        (disk.stall, disk.go_on),
        (disk.fill, disk.free),
        (lambda: sim.jump_clock(random.choice((-3_600.0, -1.0, 1.0, 86_400.0))), _nothing),
    ]


def _nothing() -> None:
    """There is nothing to mend."""


def main(first: int, count: int, *, long: bool = False) -> None:
    for seed in range(first, first + count):
        try:
            head, seen = played(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        print(seed, head, seen if long else digest(seen.encode()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), long="--long" in sys.argv)
