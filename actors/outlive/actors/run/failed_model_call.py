"""What is done about a model call that has failed: again, another model, or the end."""

from __future__ import annotations

from outlive.actors.model_error import MAY_PASS
from outlive.actors.run.commands import FailModelCall
from outlive.events import ModelCallFailed, ModelCallStarted, RunEvent, RunFailed, RunState
from outlive.events.run import ModelWait


def fail_model_call(state: RunState, command: FailModelCall) -> tuple[RunEvent, ...]:
    """Return the failure of the attempt in flight, and what follows from it."""
    assert state.model_attempt is not None, "the caller has looked"
    failed = ModelCallFailed(
        step=command.step,
        attempt=command.attempt,
        error=command.error,
        elapsed_ms=command.elapsed_ms,
        retry_at_ns=_retry_at_ns(state, command),
        request_digest=command.request_digest,
    )
    if failed.retry_at_ns is not None:
        return (failed,)
    if command.fallback:
        other = ModelCallStarted(
            step=command.step,
            attempt=command.attempt + 1,
            model=command.fallback,
            messages=state.model_attempt.messages,
        )
        return (failed, other)
    return (failed, RunFailed(error=command.error))


def _retry_at_ns(state: RunState, command: FailModelCall) -> int | None:
    number = state.model_failures + 1  # attempts that a crash cut off are no retries
    may_pass = command.retryable
    if may_pass is None:
        may_pass = command.retry.covers(command.error, MAY_PASS, types=command.types)
    if not may_pass or number > command.retry.max_retries:
        return None
    wait_ns = command.retry.delay_ns(number, command.spread_by, at_least_ns=command.retry_after_ns)
    return command.now_ns + wait_ns


def call_again(state: RunState, wait: ModelWait) -> ModelCallStarted:
    """Return the next attempt of a call that has waited long enough."""
    return ModelCallStarted(
        step=state.step, attempt=wait.attempt + 1, model=state.model, messages=wait.messages
    )
