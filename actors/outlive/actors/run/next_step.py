"""What follows when a step is over: the next call of the model, or the end of the run."""

from __future__ import annotations

from outlive.actors.run.commands import CompleteModelCall, ConcludeCheck
from outlive.events import (
    ModelCallCompleted,
    ModelCallStarted,
    OutputRejected,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunState,
    RunWaiting,
)
from outlive.events.run import evolve
from outlive.events.run.evolving import look_ahead


def answered(
    state: RunState, completed: ModelCallCompleted, command: CompleteModelCall
) -> tuple[RunEvent, ...]:
    """Return an answer without tool calls, and what follows: the end, unless it does not fit."""
    if command.problem is None:
        return (completed, *_answered_well(look_ahead(state, completed), command))
    rejected = OutputRejected(step=command.step, error=command.problem, message=command.repair)
    if state.repairs >= command.repairs:
        return (completed, rejected, RunFailed(error=command.problem))
    state = evolve(evolve(state, completed), rejected)
    return (completed, rejected, *next_step(state))


def _answered_well(state: RunState, command: CompleteModelCall) -> tuple[RunEvent, ...]:
    """Return what follows from an answer that fits: of a run until idle, maybe not the end."""
    policy = state.until_idle
    last = _last_step(state)
    if policy is not None and last and (state.untold or state.tasks):
        # It is not idle: that is said, and the answer is none the worse for it.
        return (RunCompleted(finish_reason=last, data=command.data),)
    rests = policy is not None and bool(state.tasks)
    if policy is not None and state.untold and not (rests and policy.react == "all"):
        return next_step(state)
    if state.unread and not last:
        return next_step(state)
    if policy is not None and rests:
        until_ns = None if policy.max_wait_ns is None else command.now_ns + policy.max_wait_ns
        return (RunWaiting(until_ns=until_ns, data=command.data),)
    return (RunCompleted(finish_reason=command.finish_reason, data=command.data),)


def _last_step(state: RunState) -> str:
    """Return why the model is not called any more; empty if it may be."""
    return state.stop or ("max_steps" if state.step >= state.max_steps else "")


def next_step(state: RunState) -> tuple[RunEvent, ...]:
    """Return what is to be done now that no call is open.

    Nothing if registered functions are to be asked first: the state owes that.
    """
    reason = _last_step(state)
    if reason:
        return (_end(state, reason),)
    if state.stop_when and state.checking:
        return ()
    return (_call_model(state),)


def conclude_check(state: RunState, command: ConcludeCheck) -> tuple[RunEvent, ...]:
    """Return what follows from what registered functions have said."""
    if not state.checking or (state.step, state.checks) != (command.step, command.number):
        return ()
    if command.error is not None:
        return (RunFailed(error=command.error),)
    if command.stop:
        return (_end(state, f"stop_function:{command.stop}"),)
    return (_call_model(state),)


def _end(state: RunState, reason: str) -> RunEvent:
    """A run that has to end while its answer is not of its type has not succeeded."""
    if state.rejected is not None:
        return RunFailed(error=state.rejected)
    return RunCompleted(finish_reason=reason)


def _call_model(state: RunState) -> ModelCallStarted:
    return ModelCallStarted(step=state.step, model=state.model, messages=state.messages)
