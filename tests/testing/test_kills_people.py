"""What people say while processes are killed: the harness sees what is lost, or done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.actors.replies import OBEYED, refusal
from outlive.actors.tool_attempt import idempotency_key
from outlive.events import (
    AlreadyOver,
    AlreadyResumed,
    ApprovalDenied,
    Event,
    MemoryLog,
    ModelCallCompleted,
    ToolCallInDoubt,
    ToolCallResolved,
    Version,
    run_stream,
)
from outlive.events.ids import CallId, RunId
from outlive.testing.kills import Ledger, Line, records_of
from outlive.testing.kills._checks import check_all
from outlive.testing.kills._evidence import read_evidence
from outlive.testing.kills._people import Noted


def agent(ledger: Ledger) -> Agent:
    @tool(in_doubt="retry")
    async def ask(ctx: ToolContext) -> int:
        """Ask how many."""
        many: int = await ctx.suspend("how many", answer_type=int)
        return many

    @tool(idempotent=True, requires_approval=True)
    async def publish(ctx: ToolContext, text: str) -> str:
        """Publish, if somebody agrees."""
        ledger.note(ctx.idempotency_key)
        return text

    @tool(destructive=True)
    async def wipe(ctx: ToolContext) -> str:
        """Wipe a disk."""
        ledger.note(ctx.idempotency_key)
        return "wiped"

    calls = [ToolCall("ask"), *(ToolCall("publish", {"text": text}) for text in ("one", "two"))]
    turns = [Turn(tool_calls=[*calls, ToolCall("wipe"), ToolCall("wipe")]), Turn(text="done")]
    return Agent("clerk", model=ScriptedModel(turns), tools=[ask, publish, wipe])


class Scene:
    """A run that was answered, agreed to and declined, all as it should be."""

    def __init__(self, folder: Path) -> None:
        self.log, self.ledger = MemoryLog(), Ledger(folder)
        self.agent = agent(self.ledger)
        self.lines: list[Line] = []
        asyncio.run(self._run())
        self.log.deliver_on(lambda call: call())  # Its loop is closed.
        self.lines += self.ledger.account.lines()
        self.replies: dict[str, bytes] = {}

    async def _run(self) -> None:
        async with Runtime(None, log=self.log, agents=[self.agent]) as rt:
            said = Noted(rt, lambda *words: self.lines.append(words))
            run = await rt.start("clerk", "go", run_id="r1")
            await run.result()
            await said.resume("r1", 3, suspension="how many")
            await said.resume("r1", 3, suspension="how many")
            with pytest.raises(AlreadyResumed):
                await said.resume("r1", 4, suspension="how many")
            await said.approve("r1", "0.1", args={"text": "uno"}, by="me")
            await said.decline("r1", "0.2")
            assert (await run.result()).status == "completed"
            with pytest.raises(AlreadyOver):
                await said.cancel("r1")

    def line(self, number: int) -> Line:
        """Return what was said so, as it was noted."""
        return [line for line in self.lines if line[0] in ("said", "refused")][number]

    def instead(self, number: int, **words: str | int) -> None:
        """Let something else have been noted in a line."""
        names = ("kind", "run_id", "since", "until", "request", "came")
        before = self.line(number)
        after = tuple(words.get(name, word) for name, word in zip(names, before, strict=True))
        self.lines[self.lines.index(before)] = after

    def append(self, *events: Event) -> None:
        stream = run_stream("r1")
        self.log.append(stream, events, expected_version=self.log.version(stream)).result()

    def effect(self, call_id: str) -> Line:
        """Return a line by which a call takes effect."""
        events = [each.event for each in self.log.read(run_stream("r1"), after=Version(0))]
        (answer, *_) = (event for event in events if isinstance(event, ModelCallCompleted))
        (call,) = (call for call in answer.tool_calls if call.call_id == call_id)
        return "effect", idempotency_key(self.log.log_id, RunId("r1"), call)

    def problems(self) -> list[str]:
        observed: list[Line] = [
            ("record", each.position, each.stream, each.first_version, len(each.events))
            for each in records_of(self.log)
        ]
        found, _ = check_all(
            self.log,
            read_evidence(self.lines),
            agents={"clerk": self.agent},
            start_of=lambda _: ("clerk", "go"),
            taken=self.ledger.taken,
            observed=observed,
            reply_to=self.replies.get,
        )
        return [str(problem) for problem in found]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


RESUMED, AGAIN, ANOTHER, APPROVED, DECLINED, CANCELLED = range(6)


def test_what_was_heard_and_refused_as_it_should_be_holds(scene: Scene) -> None:
    assert scene.problems() == []
    evidence = read_evidence(scene.lines)
    assert evidence.refused == {"AlreadyResumed": 1, "AlreadyOver": 1}


def test_an_answer_that_is_lost_is_seen(scene: Scene) -> None:
    scene.instead(RESUMED, request=str(scene.line(ANOTHER)[4]))  # Another value was acknowledged.
    (problem,) = scene.problems()
    assert "it was obeyed" in problem
    assert "RunResumed" in problem


def test_a_repeat_that_was_acknowledged_before_it_was_one_is_seen(scene: Scene) -> None:
    since = scene.line(RESUMED)[2]
    assert isinstance(since, int)
    scene.instead(AGAIN, since=since, until=since)
    (problem,) = scene.problems()
    assert "it was obeyed" in problem


def test_a_refusal_that_does_not_fit_is_seen(scene: Scene) -> None:
    scene.instead(ANOTHER, came="NotSuspended: run 'r1' is not suspended: it is running")
    (problem,) = scene.problems()
    assert "it was refused: NotSuspended" in problem
    assert "AlreadyResumed: " in problem


def test_a_refusal_that_comes_too_early_is_seen(scene: Scene) -> None:
    scene.instead(CANCELLED, until=scene.log.version(run_stream("r1")) - 1, since=1)
    (problem,) = scene.problems()
    assert "AlreadyOver" in problem
    assert "RunCancelled" in problem


def test_an_unknown_run_is_one_that_had_not_begun(scene: Scene) -> None:
    unknown = "RunNotFound: there is no run 'r1' in this log"
    scene.instead(CANCELLED, since=0, came=unknown)
    assert scene.problems() == []
    scene.instead(CANCELLED, since=1, came=unknown)
    (problem,) = scene.problems()
    assert "it was refused: RunNotFound" in problem


def test_what_was_said_to_a_run_that_is_not_there_is_seen(scene: Scene) -> None:
    scene.instead(APPROVED, run_id="lost")
    assert "run 'lost': something was said to it, and it is not in the log" in scene.problems()


def test_what_waits_in_the_inbox_is_carried_out_or_refused_and_its_reply_tells(
    scene: Scene,
) -> None:
    scene.instead(APPROVED, came="c1")
    scene.instead(ANOTHER, kind="said", came="c2")
    (lost, also_lost) = scene.problems()
    assert "it was put, and never carried out" in lost
    assert "it was put, and never carried out" in also_lost
    scene.replies = {"c1": OBEYED, "c2": refusal(AlreadyResumed("r1", "0.0/how many"))}
    assert scene.problems() == []
    scene.replies["c2"] = OBEYED
    (problem,) = scene.problems()
    assert "by the end it was obeyed" in problem


def test_what_people_have_said_once_is_recorded_once(scene: Scene) -> None:
    call_id = CallId("0.1")
    scene.append(ApprovalDenied(call_id=call_id))
    assert "run 'r1': a decision about call 0.1 is recorded 2 times" in scene.problems()


def test_an_effect_that_nobody_has_agreed_to_is_seen(scene: Scene) -> None:
    scene.lines.append(scene.effect("0.2"))
    problems = scene.problems()
    assert "run 'r1': call 0.2 of 'publish' took effect, and nobody has agreed to it" in problems


def test_what_must_not_be_repeated_is_repeated_as_often_as_people_want(scene: Scene) -> None:
    scene.lines.append(scene.effect("0.3"))
    (problem,) = scene.problems()
    assert "of 'wipe' took effect 2 times, at most 1 are allowed: it is asked about" in problem
    doubt = ToolCallInDoubt(call_id=CallId("0.3"))
    scene.append(doubt, ToolCallResolved(call_id=doubt.call_id, outcome="retry"))
    assert scene.problems() == []


def test_what_a_person_vouches_for_need_not_have_happened(scene: Scene) -> None:
    scene.lines.remove(scene.effect("0.3"))
    (problem,) = scene.problems()
    assert "of 'wipe' is completed, and never took effect" in problem
    scene.append(ToolCallResolved(call_id=CallId("0.3"), outcome="completed"))
    assert scene.problems() == []
