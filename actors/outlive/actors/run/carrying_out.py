"""From a request to the command that carries it out: with what only the owner has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from msgspec.structs import replace

from outlive.actors.agent import Agent
from outlive.actors.run.commands import (
    AnswerSuspension,
    CancelRun,
    DecideApproval,
    ResolveToolCall,
    RunCommand,
    StartRun,
    TellRun,
)
from outlive.actors.run.submitted import (
    AnswerRequest,
    CancelRequest,
    DecisionRequest,
    ResolveRequest,
    RunRequest,
    SignalRunRequest,
    StartRequest,
)
from outlive.actors.tool import Tool
from outlive.events import (
    AgentNotFound,
    CallId,
    InvalidResumeValue,
    RunState,
    RunWish,
    UnserialisableValue,
)
from outlive.events.ids import stream_id


def agent_for(request: RunWish, agents: Mapping[str, Agent]) -> Agent:
    """Return the agent that a run is started of. Raises AgentNotFound, InvalidId."""
    agent = agents.get(request.agent_id)
    if agent is None:
        stream_id("agent", request.agent_id)  # Can it be one at all, or is it anything?
        raise AgentNotFound(request.agent_id, tuple(agents))
    return agent


def start_command(request: RunWish, agents: Mapping[str, Agent]) -> StartRun:
    """Return the command that starts a run. Raises AgentNotFound, InvalidId."""
    agent = agent_for(request, agents)
    return replace(
        plain_start(request),
        model=agent.model.name,
        max_steps=agent.max_steps,
        tool_concurrency=agent.tool_concurrency,
        stop_when=agent.stop_when,
    )


def plain_start(request: RunWish) -> StartRun:
    """Return the command that starts a run, without what its agent is made of."""
    return StartRun(
        agent_id=request.agent_id,
        input=request.input,
        model="",
        metadata=request.metadata,
        request_context=request.request_context,
        provider_options=request.provider_options,
        parts=request.parts,
        until_idle=request.until_idle,
    )


def command_for(
    request: RunRequest,
    run_id: str,
    state: RunState,
    agents: Mapping[str, Agent],
    *,
    now_ns: int,
) -> RunCommand:
    """Return the command that carries out a request now, upon a run in this state.

    Raises:
        AgentNotFound, InvalidId: nobody of that name can run here.
        InvalidResumeValue: the tool cannot be called with these arguments, or cannot have
            returned this result.
    """
    match request:
        case StartRequest():
            return start_command(request, agents)
        case AnswerRequest():
            return AnswerSuspension(
                run_id=run_id,
                value=request.value,
                suspension=request.suspension,
                by=request.by,
                now_ns=now_ns,
            )
        case DecisionRequest():
            tool = _tool(state, request.call_id, agents)
            if tool is not None and request.arguments is not None:
                problem = tool.problem_with(request.arguments)
                if problem is not None:
                    raise InvalidResumeValue(run_id, request.call_id, problem.message)
            return DecideApproval(
                run_id=run_id,
                call_id=request.call_id,
                granted=request.granted,
                digest=request.digest,
                arguments=request.arguments,
                note=request.note,
                by=request.by,
                now_ns=now_ns,
            )
        case ResolveRequest():
            tool = _tool(state, request.call_id, agents)
            if tool is not None and request.outcome == "completed":
                try:
                    tool.signature.check_output(request.result)
                except UnserialisableValue as error:
                    raise InvalidResumeValue(run_id, request.call_id, str(error)) from None
            return ResolveToolCall(
                run_id=run_id,
                call_id=request.call_id,
                outcome=request.outcome,
                result=request.result,
                note=request.note,
                by=request.by,
            )
        case SignalRunRequest():
            return TellRun(run_id=run_id, signal_id=request.signal_id, signal=request.signal)
        case CancelRequest():
            return CancelRun(run_id=run_id, reason=request.reason, by=request.by)
        case _:
            assert_never(request)


def _tool(state: RunState, call_id: CallId, agents: Mapping[str, Agent]) -> Tool[..., Any] | None:
    call, agent = state.calls.get(call_id), agents.get(state.agent_id)
    return None if call is None or agent is None else agent.tools.get(call.name)
