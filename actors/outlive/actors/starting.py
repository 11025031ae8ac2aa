"""How a run is begun and waited for: `Runtime.start`, `run` and `result`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Final

from outlive.actors.agent import Agent
from outlive.actors.observing import Observing
from outlive.actors.owner_side import OwnerSide
from outlive.actors.run.handle import Run
from outlive.actors.run.request import run_wish
from outlive.actors.run.submitted import StartRequest
from outlive.actors.settings import Settings
from outlive.actors.thread.asking import ask_run, run_asked
from outlive.actors.thread.signalling import Signalling
from outlive.actors.thread.submitted import OnBusy
from outlive.actors.until_idle import UntilIdle
from outlive.events import AgentNotFound, LogError, RunId, run_stream, thread_stream
from outlive.events.ids import stream_id
from outlive.events.run.parts import Input
from outlive.projections import RunResult

_WITHOUT_END: Final = nullcontext()  # It costs less than a timeout of no length.


class Starting(Observing, Signalling):
    """The part of a runtime through which runs are started, and their results waited for."""

    _settings: Settings

    async def start(
        self,
        agent: str | Agent,
        input: Input,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        on_busy: OnBusy = "queue",
        metadata: Mapping[str, object] | None = None,
        request_context: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        until_idle: bool | UntilIdle = False,
    ) -> Run:
        """Start a run and return once it is durable: from here on it will come to its end.

        A process that does not own the log has the owner start it, and returns when that is
        done. If no owner is up, it returns at once, and `run.submitted` is true until one is;
        so it does after 5 seconds if the owner does not get to it, its event loop being busy.

        Args:
            agent: an agent of this runtime, or its id.
            input: what the agent is to do: text, or a list of `TextPart`, `ImagePart` and
                `FilePart`.
            run_id: makes the start idempotent: the same again returns the same run. Drawn at
                random if left out.
            thread_id: the thread that it works on: it sees what was said there before, and what
                is said in it is kept there.
            resource_id: to whom the thread belongs. A thread that does not exist yet is created
                for this one.
            on_busy: what becomes of it while another run is active on the thread. `queue`: it
                waits its turn. `deliver`: the active run is told its input, if it is of the same
                agent, and is what is returned; else it waits. `reject`: `ThreadBusy`.
                `cancel_previous`: the active run is cancelled, and this one is next.
            metadata: JSON kept with the run.
            request_context: JSON that tools and functions of the agent are given.
            provider_options: JSON that reaches the model as `request.provider_options`.
            until_idle: the run goes on until its background tasks are over, too, and the model
                is told of their results; meanwhile it is `waiting`. `UntilIdle(...)` says more.

        Raises:
            AgentNotFound: the agent is not registered with this runtime.
            RunExists: there is a run with this id and another agent, input or option.
            LogParked: there is no space for it now; nothing was queued.
            MailboxFull: too many wait for the run with this id already.
            ThreadNotFound: there is no such thread, and no `resource_id` to create one for.
            OtherResource: the thread belongs to another one.
            ThreadBusy: see `on_busy`.
            InvalidId, UnserialisableValue, EventTooLarge, TypeError, ValueError: before anything
                was written.
        """
        side = self._open.side
        agent_id = agent.id if isinstance(agent, Agent) else agent
        if not isinstance(agent_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an agent is told by its id or itself, not {type(agent_id).__name__}")
        registered = self._settings.agents.get(agent_id)
        unknown = registered is None and isinstance(side, OwnerSide)
        if unknown or (isinstance(agent, Agent) and registered is not agent):
            raise AgentNotFound(agent_id, tuple(self._settings.agents))
        if registered is None:
            stream_id("agent", agent_id)  # It is the owner's to know, but can it be one at all?
        wish = run_wish(
            agent_id,
            input,
            metadata=metadata,
            request_context=request_context,
            provider_options=provider_options,
            until_idle=until_idle,
        )
        id = self._ids.run_id() if run_id is None else RunId(run_id)
        stream = run_stream(id)
        if thread_id is None:
            if resource_id is not None or on_busy != "queue":
                raise ValueError("resource_id and on_busy are about a thread: give its thread_id")
            return Run(self, id, await self._obey(stream, StartRequest.of(wish)))
        asked = ask_run(id, wish, resource_id=resource_id, on_busy=on_busy)
        thread = thread_stream(thread_id)
        submission = await self._obey(thread, asked)
        if submission is None and on_busy == "deliver":
            id = RunId(run_asked(self.log, thread, id))
        return Run(self, id, submission)

    async def run(
        self,
        agent: str | Agent,
        input: Input,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        on_busy: OnBusy = "queue",
        metadata: Mapping[str, object] | None = None,
        request_context: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        until_idle: bool | UntilIdle = False,
    ) -> RunResult:
        """Start a run and wait for its result. See `start` and `result`."""
        started = await self.start(
            agent,
            input,
            run_id=run_id,
            thread_id=thread_id,
            resource_id=resource_id,
            on_busy=on_busy,
            metadata=metadata,
            request_context=request_context,
            provider_options=provider_options,
            until_idle=until_idle,
        )
        return await started.result()

    async def result(self, run_id: str, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest and return what it came to.

        Raises:
            RunNotFound: at once, when there is no such run.
            TimeoutError: not at rest within `timeout` seconds; the run goes on.
            TypeError: `timeout` is no number.
            LogClosed: this runtime was closed first; the run goes on at the next opening.
        """
        side, stream = self._here.side, run_stream(run_id)
        if not isinstance(timeout, int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a timeout is in seconds, not of type {type(timeout).__name__}")
        async with asyncio.timeout(timeout) if timeout is not None else _WITHOUT_END:
            while True:
                try:
                    return await side.result(run_id, stream)
                except LogError as error:
                    side = await self._open.after(side, error)
