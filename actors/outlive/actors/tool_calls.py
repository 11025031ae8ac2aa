"""The tool calls that one run or task has going: begun, and given up."""

from __future__ import annotations

from typing import Any

from outlive.actors.run.commands import CallTool, FailToolCall
from outlive.actors.surroundings import Address, Surroundings
from outlive.actors.tool import Tool
from outlive.actors.tool_attempt import Limits, ToolAttempt, idempotency_key
from outlive.events import Failure, RequestedToolCall, RunId, StreamId, Value


class ToolCalls:
    """Belongs to the loop, and to the world of one entity."""

    def __init__(self, surroundings: Surroundings, stream: StreamId) -> None:
        self._all = surroundings
        self._stream = stream
        self._attempts: dict[CallTool, ToolAttempt] = {}

    async def make(
        self,
        effect: CallTool,
        tool: Tool[..., Any],
        call: RequestedToolCall,
        home: Address,
        *,
        limits: Limits,
        spread_by: str,
        memos: dict[str, Value],
        answers: dict[str, Value],
        owner: str,
        agent_id: str,
        request_context: dict[str, Value],
        thread_id: str | None,
        resource_id: str | None,
    ) -> None:
        """Enter the tool's body once, and tell the address how it ended.

        `owner` is the id of the run that wants it, or what is in its place where none does.
        """
        attempt = self._attempts[effect] = ToolAttempt(
            effect,
            tool,
            home,
            limits=limits,
            spread_by=spread_by,
            memos=memos,
            answers=answers,
            clock=self._all.clock,
            executor=self._all.executor,
            abandoned=self._all.abandoned,
            workers=self._all.workers,
            closed=lambda: self._all.effects.closed,
        )

        def facts() -> dict[str, object]:
            run_id = RunId(owner)
            return {
                "run_id": run_id,
                "agent_id": agent_id,
                "call_id": effect.call_id,
                "number": effect.attempt,
                "idempotency_key": idempotency_key(self._all.log.log_id, run_id, call),
                "deps": self._all.deps,
                "request_context": request_context,
                "thread_id": thread_id,
                "resource_id": resource_id,
            }

        try:
            await attempt.run(call, facts)
        finally:
            del self._attempts[effect]

    def failed(self, effect: CallTool, home: Address, error: Failure) -> None:
        """Tell the address that a call has ended without an outcome of its own."""
        failed = FailToolCall(
            call_id=effect.call_id,
            attempt=effect.attempt,
            error=error,
            now_ns=self._all.clock.now_ns(),
        )
        home.conclude(failed)

    def give_up(self, effect: CallTool) -> None:
        """Stop a call that is owed no more, if it still goes on."""
        attempt = self._attempts.get(effect)
        if attempt is None:
            self._all.effects.settle(self._stream, effect)
            return
        attempt.give_up()
        self._all.effects.settle(self._stream, effect, abandon=attempt.in_thread_now)
