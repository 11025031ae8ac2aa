"""What a run's effects are done to: its agent's model and tools."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from outlive.actors.agent import Agent
from outlive.actors.background_plans import schemas_of
from outlive.actors.heartbeat.told import parcel_to_heartbeat, run_end
from outlive.actors.mail import Deliver, Parcel
from outlive.actors.model import ModelRequest
from outlive.actors.noting import NotingWorld
from outlive.actors.run.approvals import with_approvals
from outlive.actors.run.background import with_tasks
from outlive.actors.run.children import with_children
from outlive.actors.run.commands import (
    CallModel,
    CallTool,
    CheckStop,
    CompleteModelCall,
    ConcludeCheck,
    Effect,
    FailModelCall,
)
from outlive.actors.run.messages import parcel
from outlive.actors.run.messages_to_tasks import task_parcel
from outlive.actors.run.messages_to_thread import thread_parcel
from outlive.actors.run.model_call import call_model, cut, failure
from outlive.actors.run.notes import Notes
from outlive.actors.run_context import RunContext, ask
from outlive.actors.surroundings import Address, Surroundings
from outlive.actors.tool_attempt import Limits
from outlive.events import Failure, Position, RunId, StreamId, Version
from outlive.events.ids import id_of, kind_of
from outlive.events.run.background import CANCEL, QUEUE
from outlive.events.run.thread import ENDED, RESULT
from outlive.events.values import canonical, digest
from outlive.projections import Message, Transcript
from outlive.projections.threads import history


def _digest(agent: Agent, request: ModelRequest) -> str:
    """Return the digest of what was sent besides messages and tools, if it may differ."""
    if isinstance(agent.instructions, str) and not (request.settings or request.provider_options):
        return ""
    return digest(
        request.instructions.encode(),
        canonical(request.settings),
        canonical(request.provider_options),
    )


class RunWorld(NotingWorld[Notes]):
    """Performs one run's effects. Fulfils `entity.World`."""

    def __init__(self, stream: StreamId, surroundings: Surroundings) -> None:
        self._run_id = RunId(id_of(stream))
        super().__init__(stream, surroundings)

    def _no_notes(self) -> Notes:
        return Notes()

    @property
    def transcript(self) -> Transcript:
        """The run's messages, up to the last event that became durable. Raises LogError."""
        return self._read_notes().transcript

    def reset(self, version: Version) -> None:
        """Forget what was noted; the events up to `version` are read when they are needed."""
        super().reset(version)
        self._history: tuple[Message, ...] | None = None

    def _messages(self, notes: Notes, own: Sequence[Message]) -> tuple[Message, ...]:
        """Return what the model sees: of the run's thread, and of the run itself."""
        place = notes.thread
        if place is None:
            return tuple(own)
        if self._history is None:
            self._history = history(
                self._all.log,
                place.thread_id,
                until=place.until,
                max_messages=place.max_messages,
                max_tokens=place.max_tokens,
                summary=place.summary,
            )
        return (*self._history, *own)

    def perform(self, effect: Effect, cause: Position) -> None:
        """Start an effect, unless it runs already. Raises LogError."""
        if isinstance(effect, Deliver):
            self._courier.start(effect, partial(self._pack, effect), cause)
            return
        if self._all.effects.get(self._stream, effect) is not None:
            return
        notes = self._read_notes()
        agent = self._all.agents[notes.agent_id]
        home = Address(self._all, self._stream, effect, cause)
        if isinstance(effect, CallModel):
            body = partial(self._call_model, agent, notes.model, effect, home, notes)
        elif isinstance(effect, CheckStop):
            body = partial(self._check_stop, effect, home, notes)
        else:
            body = partial(self._call_tool, agent, effect, home, notes)
        self._all.effects.start(
            self._stream,
            effect,
            body,
            failed=lambda reason: self._failed(effect, home, reason),
            awaited=isinstance(effect, CallTool),  # A model is called again, and no doubt is left.
        )

    def _pack(self, message: Deliver) -> Parcel:
        notes = self._read_notes()
        if message.subject in (QUEUE, CANCEL):
            return task_parcel(message, self._run_id, notes, self._all)
        if message.subject in (ENDED, RESULT):
            return thread_parcel(message, self._run_id, notes, self._all)
        if kind_of(message.to) == "heartbeat":
            return parcel_to_heartbeat(message, self._stream, self._all, lambda: run_end(notes))
        return parcel(message, self._run_id, notes, self._all.agents)

    def _failed(self, effect: CallModel | CheckStop | CallTool, home: Address, reason: str) -> None:
        """The effect's task has ended without an outcome: that is how it ended."""
        if self._all.effects.given_up(self._stream, effect):
            return
        error = Failure(kind="error", message=cut(reason))
        if isinstance(effect, CallModel):
            home.conclude(FailModelCall(step=effect.step, attempt=effect.attempt, error=error))
        elif isinstance(effect, CheckStop):
            home.conclude(ConcludeCheck(step=effect.step, number=effect.number, error=error))
        else:
            self._calls.failed(effect, home, error)

    async def _call_model(
        self, agent: Agent, model: str, effect: CallModel, home: Address, notes: Notes
    ) -> None:
        # What came since the call was decided, a background result say, is for the next one.
        if notes.tools is not None:
            agent = agent.limited_to(notes.tools)
        messages = self._messages(notes, notes.transcript.messages[: notes.bound])
        plans, instructions = self._all.plans[agent.id], agent.instructions
        if not isinstance(instructions, str):
            try:
                instructions = await agent.made_instructions(self._context(notes, messages))
            except Exception as raised:  # noqa: BLE001  # a function's end is not the runtime's
                error = failure("instructions", raised)
                home.conclude(FailModelCall(step=effect.step, attempt=effect.attempt, error=error))
                return
        request = ModelRequest(
            run_id=self._run_id,
            agent_id=agent.id,
            step=effect.step,
            attempt=effect.attempt,
            instructions=instructions,
            messages=messages,
            tools=schemas_of(agent, plans),
            settings=agent.model_settings,
            provider_options=notes.provider_options,
            output_schema=None if agent.output is None else agent.output.schema,
        )
        outcome = await call_model(
            agent,
            agent.model_named(model),
            effect,
            request,
            self._all.clock,
            record=home.tell,
            given_up=lambda: self._all.effects.given_up(self._stream, effect),
            plans=plans,
            request_digest=_digest(agent, request),
        )
        if isinstance(outcome, CompleteModelCall):
            if agent.output is not None:
                outcome = agent.output.checked(outcome, agent.output_repairs)
            if agent.asks_people:
                functions, clock = self._all.functions, self._all.clock
                outcome = await with_approvals(outcome, agent, functions, clock)
            if agent.agents:
                outcome = with_children(outcome, agent, self._run_id)
            if plans:
                outcome = with_tasks(outcome, self._run_id)
        home.conclude(outcome)

    def _context(self, notes: Notes, messages: Sequence[Message]) -> RunContext:
        place = notes.thread
        return RunContext(
            run_id=self._run_id,
            agent_id=notes.agent_id,
            step=notes.step,
            messages=tuple(messages),
            usage=notes.usage,
            metadata=notes.metadata,
            request_context=notes.request_context,
            deps=self._all.deps,
            thread_id=None if place is None else place.thread_id,
            resource_id=None if place is None else place.resource_id,
        )

    async def _check_stop(self, effect: CheckStop, home: Address, notes: Notes) -> None:
        context, stop, error = (
            self._context(notes, self._messages(notes, notes.transcript.messages)),
            "",
            None,
        )
        for name in notes.stop_functions:
            try:
                met = await ask(self._all.functions[name], context)
            except Exception as raised:  # noqa: BLE001  # a function's end is not the runtime's
                error = failure("stop_function", raised)
                break
            if met:
                stop = name
                break
        home.conclude(ConcludeCheck(step=effect.step, number=effect.number, stop=stop, error=error))

    async def _call_tool(self, agent: Agent, effect: CallTool, home: Address, notes: Notes) -> None:
        place = notes.thread
        await self._calls.make(
            effect,
            agent.tools[effect.name],
            notes.transcript.calls[effect.call_id],
            home,
            limits=Limits.of(agent.tools[effect.name]),
            spread_by=f"{self._run_id}/{effect.call_id}",
            memos=notes.memos.get(effect.call_id, {}),
            answers=notes.answers.get(effect.call_id, {}),
            owner=self._run_id,
            agent_id=agent.id,
            request_context=notes.request_context,
            thread_id=None if place is None else place.thread_id,
            resource_id=None if place is None else place.resource_id,
        )

    def give_up(self, effect: Effect) -> None:
        """Stop an effect that is owed no more, if it still runs."""
        if isinstance(effect, CallTool):
            self._calls.give_up(effect)
        else:
            self._all.effects.settle(self._stream, effect)
