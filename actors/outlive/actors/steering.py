"""What people can do to a run from outside: answer it, agree, resolve, cancel, release."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

from msgspec import UNSET

from outlive.actors.run.submission import Submission
from outlive.actors.run.submitted import (
    AnswerRequest,
    CancelRequest,
    DecisionRequest,
    ReleaseRequest,
    Request,
    ResolveRequest,
)
from outlive.events import CallId, StreamId, Value, run_stream, to_plain
from outlive.events.sizes import check_size


class Steering(ABC):
    """The part of a runtime through which runs are steered. The same in every role."""

    @abstractmethod
    async def _obey(self, stream: StreamId, request: Request) -> Submission | None:
        """Have a request carried out; None once that is durable."""

    async def resume(
        self, run_id: str, value: object, *, suspension: str | None = None, by: str = ""
    ) -> bool:
        """Answer what a suspended run asks; its tool is called again, and finds the answer.

        Works from any process, days later, with only the id. The same answer again changes
        nothing; but name the suspension if you may repeat it, or a repeat could be taken for
        the answer to the question after it. On an approval, `{"approved": True, "note": "..."}`
        is the same as `approve`.

        Args:
            run_id: the run.
            value: the answer. It must fit the `answer_type` of `ctx.suspend`.
            suspension: which question, by its key or full name (`pending` shows both). Needed
                when there are several.
            by: who says so; recorded.

        Returns:
            True when it is durable and the run goes on; False when it waits in the inbox,
            durably, until there is an owner.

        Raises:
            RunNotFound: at once, when there is no such run.
            NotSuspended: the run waits for nobody.
            SuspensionNotFound, AmbiguousSuspension: no question of this name; or several.
            InvalidResumeValue: the answer does not fit; the run is still suspended.
            AlreadyResumed, AlreadyDecided: it was answered before, otherwise.
            UnserialisableValue, EventTooLarge, LogParked: nothing was written.
        """
        plain = to_plain(value)
        check_size(plain)
        request = AnswerRequest(
            value=plain, suspension=text_or_none("suspension", suspension), by=text_of("by", by)
        )
        return await self._obey(run_stream(run_id), request) is None

    async def approve(
        self,
        run_id: str,
        call_id: str,
        *,
        digest: str | None = None,
        args: Mapping[str, object] | None = None,
        note: str = "",
        by: str = "",
    ) -> bool:
        """Agree to a tool call that needs it. The same again changes nothing.

        Args:
            run_id: the run.
            call_id: the call, as `pending` shows it.
            digest: of the arguments that you have seen; if the call has others, nothing is done.
            args: arguments in the place of those that the model has asked for; recorded.
            note, by: what is said, and by whom; recorded.

        Returns:
            As `resume`.

        Raises:
            ArgumentsChanged: the call has arguments with another digest.
            AlreadyDecided: it was decided otherwise before, or expired.
            InvalidResumeValue: the tool cannot be called with `args`.
            RunNotFound, NotSuspended, SuspensionNotFound, LogParked: see `resume`.
        """
        plain = None if args is None else cast("dict[str, Value]", to_plain(dict(args)))
        check_size(plain)
        request = DecisionRequest(
            call_id=CallId(text_of("call_id", call_id)),
            granted=True,
            digest=text_or_none("digest", digest),
            arguments=plain,
            note=text_of("note", note),
            by=text_of("by", by),
        )
        return await self._obey(run_stream(run_id), request) is None

    async def decline(self, run_id: str, call_id: str, *, reason: str = "", by: str = "") -> bool:
        """Do not agree to a tool call: the model is told, with the reason. See `approve`."""
        request = DecisionRequest(
            call_id=CallId(text_of("call_id", call_id)),
            granted=False,
            note=text_of("reason", reason),
            by=text_of("by", by),
        )
        return await self._obey(run_stream(run_id), request) is None

    async def resolve(
        self,
        run_id: str,
        call_id: str,
        *,
        outcome: object = UNSET,
        error: str | None = None,
        retry: bool = False,
        by: str = "",
    ) -> bool:
        """Say what became of a tool call in doubt (`in_doubt="ask"`): just one of three things.

        Args:
            run_id: the run.
            call_id: the call, as `pending` shows it.
            outcome: it was done, and this is what it has returned.
            error: it was not done; the model is told so.
            retry: call it again.
            by: who says so; recorded.

        Returns:
            As `resume`.

        Raises:
            ValueError: none of the three was said, or several.
            InvalidResumeValue: the tool cannot have returned that.
            AlreadyDecided: it was resolved otherwise before.
            RunNotFound, NotSuspended, SuspensionNotFound, LogParked: see `resume`.
        """
        if (outcome is not UNSET) + (error is not None) + bool(retry) != 1:
            raise ValueError("say one of outcome=..., error=... and retry=True")
        plain = None if outcome is UNSET else to_plain(outcome)
        check_size(plain)
        request = ResolveRequest(
            call_id=CallId(text_of("call_id", call_id)),
            outcome="retry" if retry else "failed" if error is not None else "completed",
            result=plain,
            note=text_of("error", error or ""),
            by=text_of("by", by),
        )
        return await self._obey(run_stream(run_id), request) is None

    async def cancel(self, run_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a run that is not wanted any more, whatever it does. The same again is nothing.

        Its model calls and tools are cancelled; sync tools see `ctx.cancelled`. What comes of
        them all the same is recorded, and not applied.

        Returns:
            As `resume`.

        Raises:
            AlreadyOver: it has completed or failed.
            RunNotFound, LogParked: see `resume`.
        """
        request = CancelRequest(reason=text_of("reason", reason), by=text_of("by", by))
        return await self._obey(run_stream(run_id), request) is None

    async def release(self, run_id: str) -> bool:
        """Try once more with a run that is quarantined, now that its trouble may be over.

        It may end up in quarantine again. Its reason is in `result(run_id).error` before.

        Returns:
            As `resume`.

        Raises:
            RunNotFound: at once, when there is no such run.
            NotQuarantined: it is not quarantined; its `status` tells what it is.
            Refused: it cannot be taken up now either, with the reason; it stays as it is.
            LogParked: nothing was written.
        """
        return await self._obey(run_stream(run_id), ReleaseRequest()) is None


def text_of(name: str, value: str) -> str:
    """Return a text that can be stored. Raises TypeError, UnserialisableValue."""
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} is text, not {type(value).__name__}")
    to_plain(value)
    return value


def text_or_none(name: str, value: str | None) -> str | None:
    """The same of a text that may be left out."""
    return None if value is None else text_of(name, value)
