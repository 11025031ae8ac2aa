"""People talk at random on a thread, while its processes die: what was taken is read once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, get_args

import pytest

from outlive.actors import Agent, ModelRequest, Runtime, ScriptedModel, ToolCall, Turn
from outlive.actors import tool as as_tool
from outlive.actors.thread.submitted import OnBusy
from outlive.events import (
    ModelCallStarted,
    OutliveError,
    Record,
    RunSignalled,
    RunStarted,
    ThreadBusy,
)
from outlive.projections import UserMessage
from outlive.testing import Simulation, World
from tests.support.people import ask
from tests.support.views import records_of


@as_tool(read_only=True)
async def look() -> str:
    """Look."""
    await asyncio.sleep(1.3)
    return "seen"


def agents(_: World) -> list[Agent]:
    def answer(request: ModelRequest) -> Turn:
        drawn = Random(f"{request.run_id} {request.step}").random()
        if drawn < 0.4:
            name = "ask" if drawn < 0.15 else "look"
            return Turn(tool_calls=[ToolCall(name)], delay=0.3)
        return Turn("so", delay=0.5)

    return [
        Agent(name, model=ScriptedModel(answer), tools=[ask, look], max_steps=steps)
        for name, steps in (("a", 2), ("b", 3))
    ]


class Talk:
    """What is said at random, and what of it was taken."""

    def __init__(self, sim: Simulation, random: Random) -> None:
        self.sim, self.random = sim, random
        self.taken: dict[str, str] = {}  # how, by what was said
        self.agent = random.choice(["a", None])  # to whom all is said: then it is read in order

    def say(self, said: str) -> None:
        drawn, choice = self.random.random(), self.random.choice
        if self.agent is not None and 0.35 <= drawn < 0.7:
            drawn = 0.0
        if drawn < 0.35:
            agent, transient = choice([None, "a", "b"]), self.random.random() < 0.1
            agent = self.agent or agent
            self._do(
                said,
                "signal",
                lambda rt: rt.signal(
                    said,
                    thread_id="t",
                    resource_id="u",
                    agent=agent or ("a" if not self.taken else None),
                    type="user",
                    idempotency_key=said,
                    transient=transient,
                ),
            )
        elif drawn < 0.45:
            self._do(
                said,
                "queued",
                lambda rt: rt.queue_message(
                    said, thread_id="t", resource_id="u", agent="a", idempotency_key=said
                ),
            )
        elif drawn < 0.7:
            agent, busy = choice("ab"), choice(get_args(OnBusy))
            self._do(
                said,
                busy,
                lambda rt: rt.start(
                    agent, said, run_id=said, thread_id="t", resource_id="u", on_busy=busy
                ),
            )
        elif drawn < 0.8:
            self._cancel()
        else:
            self.sim.advance(choice([0.1, 0.4, 0.9, 2]))

    def _do(self, said: str, how: str, work: Callable[[Runtime], Coroutine[Any, Any, Any]]) -> None:
        try:
            self.sim.run(work)
        except ThreadBusy:
            return
        self.taken[said] = how

    def _cancel(self) -> None:
        info = self.sim.run(lambda rt: rt.threads.get("t")) if self.taken else None
        if info is not None and info.run_id is not None:
            run_id = str(info.run_id)
            with suppress(OutliveError):  # It is over, or has not begun.
                self.sim.run(lambda rt: rt.cancel(run_id))

    def come_to_rest(self) -> None:
        for _ in range(60):
            self.sim.advance("5s")
            if self.sim.run(lambda rt: rt.threads.get("t")).status == "idle":
                return
            for waiting in self.sim.pending():
                run_id = waiting.run_id
                self.sim.run(lambda rt, run_id=run_id: rt.resume(run_id, "this"))  # type: ignore[misc]
        raise AssertionError("the thread does not come to rest")


async def _records(rt: Runtime) -> list[Record]:
    return records_of(rt.log)


def shown_to_models(sim: Simulation) -> Counter[str]:
    """Return how often models were shown each thing that was said, retries not counted."""
    told: dict[str, list[str]] = {}
    shown: Counter[str] = Counter()
    for record in sim.run(_records):
        for event in record.events:
            match event:
                case RunStarted(input=said):
                    told.setdefault(record.stream, []).append(said)
                case RunSignalled(signal=signal):
                    told.setdefault(record.stream, []).append(signal.text)
                case ModelCallStarted(attempt=1):
                    shown.update(told.pop(record.stream, []))
                case _:
                    pass
    return shown


@pytest.mark.parametrize("seed", range(16))
def test_what_was_taken_is_read_once_whoever_dies_or_is_cancelled(seed: int) -> None:
    random = Random(seed)
    with Simulation(agents, seed=seed, restart_after=1.0) as sim:
        talk = Talk(sim, random)
        talk.say("m0")
        deaths = 0
        for number in range(1, random.randrange(6, 14)):
            talk.say(f"m{number}")
            if random.random() < 0.25:
                sim.go_on(random.randrange(1, 60))
            if random.random() < 0.3 and deaths < 5:  # As often as a run may die without a step.
                deaths += 1
                sim.crash()
        if not talk.taken:
            return
        talk.come_to_rest()
        shown = shown_to_models(sim)
        messages = sim.run(lambda rt: rt.threads.messages("t", limit=1_000))
        kept = Counter(one.message.text for one in messages if isinstance(one.message, UserMessage))
    if set(talk.taken.values()) <= {"signal"} and talk.agent:
        assert list(shown) == list(talk.taken), "it was read in another order"
    for said, how in talk.taken.items():
        superseded = how == "cancel_previous" and not shown[said]
        assert shown[said] == 1 or superseded, f"{said} ({how}) was read {shown[said]} times"
        assert kept[said] <= 1, f"{said} ({how}) was kept {kept[said]} times"
