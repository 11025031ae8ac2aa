"""The rules of an `AgentMachine` about people: they answer, agree, resolve and cancel."""

from __future__ import annotations

from typing import Final, Literal, cast

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from outlive.actors.run.submission import Submission
from outlive.actors.run.submitted import (
    AnswerRequest,
    CancelRequest,
    DecisionRequest,
    Request,
    ResolveRequest,
    RunRequest,
    SignalRunRequest,
    StartRequest,
)
from outlive.actors.steering import Steering
from outlive.actors.task.submitted import (
    CancelTaskRequest,
    EnqueueRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    TaskRequest,
)
from outlive.events import LogParked, NotFound, Refused, StreamId, Value, run_stream, task_stream
from outlive.projections import Pending
from outlive.testing._drawn.values import values
from outlive.testing._fitting import fitting
from outlive.testing._reference import Reference
from outlive.testing._said import Said, told
from outlive.testing._simulation.simulation import Simulation

_MOST: Final = 1_000
_WHILE: Final = 30
_STEPS: Final = 10


class Person(Steering):
    """Speaks to the runs of a simulation, over all deaths, and notes what is told."""

    def __init__(self, simulation: Simulation, said: list[Said]) -> None:
        self._simulation = simulation
        self._said = said

    async def _obey(self, stream: StreamId, request: Request) -> Submission | None:
        assert isinstance(request, RunRequest), "it speaks to runs alone"
        await self.say(stream, request)
        return None

    async def say(self, stream: StreamId, request: RunRequest | TaskRequest) -> None:
        """Say something to a run or a task, and note whether that was obeyed or refused."""
        simulation, pause, refusal = self._simulation, 1.0, ""
        since = simulation.disk.store.version(stream)
        while True:
            try:
                await simulation.client.call(lambda rt: rt._obey(stream, request))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            except LogParked:
                await simulation.client.sleep(pause)
                pause = min(2 * pause, 3_600.0)
                continue
            except (Refused, NotFound) as error:
                refusal = told(error)
            break
        until = simulation.disk.store.version(stream)
        self._said.append(
            Said(stream=stream, request=request, since=since, until=until, refusal=refusal)
        )


class PeopleRules(RuleBasedStateMachine):
    """What people do to runs, in the background: as often as not it is refused."""

    _reference: Reference
    _simulation: Simulation | None

    def __init__(self) -> None:
        super().__init__()
        self._spoken: list[tuple[StreamId, RunRequest | TaskRequest]] = []
        self._pending: tuple[int, list[Pending]] = (-1, [])

    @property
    def simulation(self) -> Simulation:
        """What is driven."""
        assert self._simulation is not None, "it has not begun yet"
        return self._simulation

    def answer(self, asked: Pending) -> object:
        """Return an answer that fits a question: here one that is made of its schema.

        Override it where that is not enough for the tool, or for what follows.
        """
        return fitting(asked.answer_schema)

    def answers(self, asked: Pending) -> st.SearchStrategy[object]:
        """Draw what people say to what they are asked.

        To a `suspension` an answer, to an `approval` the arguments to be put in the place of
        those that were asked for, or None; of a call `in_doubt` what it has returned. What does
        not fit is refused.
        """
        match asked.kind:
            case "suspension":
                return st.just(self.answer(asked)) | values()
            case "approval":
                return st.sampled_from([None, asked.arguments, {"no such argument": 0}])
            case "in_doubt":
                return st.none()

    def _asked(self, kind: str | None = None) -> list[Pending]:
        """Return what runs ask people now, or what of that kind."""
        asked = [each for each in self._all_asked() if not each.task_id]
        return [each for each in asked if kind in (None, each.kind)]

    def _all_asked(self) -> list[Pending]:
        """Return what runs and tasks ask people now."""
        if self._simulation is None:
            return []
        writes = self._simulation.disk.writes
        if self._pending[0] != writes:
            self._pending = writes, self._simulation.pending()
        return self._pending[1]

    def _waited_for(self) -> bool:
        """Whether a run has been begun, and nobody is asked yet."""
        return (
            self._simulation is not None and bool(self._simulation.disk.store.open)
        ) and not self._all_asked()

    def _say(self, run_id: str, request: RunRequest) -> None:
        self._speak(run_stream(run_id), request)

    def _speak(self, stream: StreamId, request: RunRequest | TaskRequest) -> None:
        self._spoken.append((stream, request))
        person = Person(self.simulation, self._reference.said)
        self._reference.others.append(self.simulation.spawn(person.say(stream, request)))

    @precondition(lambda self: bool(self._waited_for()))
    @rule()
    def go_on_until_somebody_is_asked(self) -> None:
        """Let all be well for a while, or until people are asked."""
        self.simulation.disk.mend()
        self.simulation.thaw()
        for _ in range(_WHILE):
            self.simulation.go_on(_STEPS)
            if self._all_asked():
                return

    @precondition(lambda self: bool(self._asked("suspension")))
    @rule(data=st.data())
    def answer_a_question(self, data: st.DataObject) -> None:
        """Answer what a tool asks: rightly, or with anything. The question is named."""
        asked = data.draw(st.sampled_from(self._asked("suspension")))
        value = cast("Value", data.draw(self.answers(asked)))
        name = data.draw(st.sampled_from([asked.suspension, asked.key]))
        self._say(asked.run_id, AnswerRequest(value=value, suspension=name, by="somebody"))

    @precondition(lambda self: bool(self._asked("approval")))
    @rule(data=st.data(), granted=st.booleans())
    def decide_about_a_call(self, data: st.DataObject, granted: bool) -> None:
        """Agree to a call, or not: to what was seen, to what it was before, to something else."""
        asked = data.draw(st.sampled_from(self._asked("approval")))
        arguments = data.draw(self.answers(asked)) if granted else None
        request = DecisionRequest(
            call_id=asked.call_id,
            granted=granted,
            digest=data.draw(st.sampled_from([None, asked.digest, "another"])),
            arguments=cast("dict[str, Value] | None", arguments),
            note="so be it",
            by="somebody",
        )
        self._say(asked.run_id, request)

    @precondition(lambda self: bool(self._asked("in_doubt")))
    @rule(data=st.data(), outcome=st.sampled_from(["retry", "failed", "completed"]))
    def resolve_a_call(self, data: st.DataObject, outcome: str) -> None:
        """Say what became of a call in doubt, or that it is to be made again."""
        asked = data.draw(st.sampled_from(self._asked("in_doubt")))
        request = ResolveRequest(
            call_id=asked.call_id,
            outcome=cast("Literal['retry', 'failed', 'completed']", outcome),
            result=cast("Value", data.draw(self.answers(asked))),
            note="it looks like that" if outcome == "failed" else "",
            by="somebody",
        )
        self._say(asked.run_id, request)

    @precondition(lambda self: bool(self._spoken))
    @rule(data=st.data())
    def say_it_again(self, data: st.DataObject) -> None:
        """Repeat what was said before: it is done once."""
        self._speak(*data.draw(st.sampled_from(self._spoken)))

    @precondition(lambda self: bool(self._spoken))
    @rule(data=st.data())
    def contradict(self, data: st.DataObject) -> None:
        """Say something else about the same: it is refused, unless it is heard first."""
        stream, request = data.draw(st.sampled_from(self._spoken))
        self._speak(stream, _otherwise(request))

    @rule(run_id=Bundle("runs"))
    def say_what_nobody_has_asked(self, run_id: str) -> None:
        """Answer a question that there is not."""
        self._say(run_id, AnswerRequest(value=1, suspension="no such question"))

    @rule(run_id=Bundle("runs"), reason=st.sampled_from(["not needed", "too dear"]))
    def cancel(self, run_id: str, reason: str) -> None:
        """End a run, whatever it does."""
        self._say(run_id, CancelRequest(reason=reason, by="somebody"))

    def _answer_everything(self) -> None:
        """Let people answer all that they are asked, until nothing is left."""
        simulation = self.simulation
        person = Person(simulation, self._reference.said)
        for _ in range(_MOST):
            for asked in simulation.pending():
                simulation.drive(self._answer_at_last(person, asked))
            simulation.run_until_idle()
            self._reference.check_told(simulation)  # Here, as it says why they are still asked.
            if not simulation.pending():
                return
        raise AssertionError(f"still asked after {_MOST} answers: {simulation.pending()}")

    async def _answer_at_last(self, person: Person, asked: Pending) -> None:
        run_id, task_id = asked.run_id, asked.task_id
        if task_id:
            value = cast("Value", self.answer(asked) if asked.key else {"retry": True})
            request = ResumeTaskRequest(value=value, key=asked.key or None)
            await person.say(task_stream(task_id), request)
            return
        match asked.kind:
            case "suspension":
                await person.resume(run_id, self.answer(asked), suspension=asked.suspension)
            case "approval":
                await person.approve(run_id, asked.call_id)
            case "in_doubt":
                await person.resolve(run_id, asked.call_id, retry=True)


def _otherwise(request: RunRequest | TaskRequest) -> RunRequest | TaskRequest:
    """Return what contradicts a request."""
    match request:
        case AnswerRequest():
            return replace(request, value=[request.value])
        case DecisionRequest():
            return replace(request, granted=not request.granted, arguments=None)
        case ResolveRequest():
            outcome = "failed" if request.outcome == "retry" else "retry"
            return replace(request, outcome=outcome)
        case CancelRequest():
            return replace(request, reason="for another reason")
        case SignalRunRequest():
            return replace(request, signal_id=f"not {request.signal_id}")
        case ResumeTaskRequest():
            return replace(request, value=[request.value])
        case CancelTaskRequest():
            return RetryTaskRequest(by=request.by)
        case RetryTaskRequest():
            return CancelTaskRequest(by=request.by)
        case StartRequest() | EnqueueRequest():
            return request
