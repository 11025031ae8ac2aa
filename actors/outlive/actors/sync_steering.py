"""What people can do to a run from outside, for code without an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from msgspec import UNSET

from outlive.actors.thread.signalling import Signalling

T = TypeVar("T")


class SyncSteering(ABC):
    """The part of a `SyncRuntime` through which runs are steered."""

    @property
    @abstractmethod
    def _signalling(self) -> Signalling:
        """The runtime that does it."""

    @abstractmethod
    def _await(self, body: Coroutine[Any, Any, T]) -> T:
        """Return what comes of a call on the runtime's loop."""

    def resume(
        self, run_id: str, value: object, *, suspension: str | None = None, by: str = ""
    ) -> bool:
        """Answer what a suspended run asks. See `Runtime.resume`."""
        return self._await(self._signalling.resume(run_id, value, suspension=suspension, by=by))

    def approve(
        self,
        run_id: str,
        call_id: str,
        *,
        digest: str | None = None,
        args: Mapping[str, object] | None = None,
        note: str = "",
        by: str = "",
    ) -> bool:
        """Agree to a tool call that needs it. See `Runtime.approve`."""
        return self._await(
            self._signalling.approve(run_id, call_id, digest=digest, args=args, note=note, by=by)
        )

    def decline(self, run_id: str, call_id: str, *, reason: str = "", by: str = "") -> bool:
        """Do not agree to a tool call. See `Runtime.decline`."""
        return self._await(self._signalling.decline(run_id, call_id, reason=reason, by=by))

    def resolve(
        self,
        run_id: str,
        call_id: str,
        *,
        outcome: object = UNSET,
        error: str | None = None,
        retry: bool = False,
        by: str = "",
    ) -> bool:
        """Say what became of a tool call in doubt. See `Runtime.resolve`."""
        return self._await(
            self._signalling.resolve(
                run_id, call_id, outcome=outcome, error=error, retry=retry, by=by
            )
        )

    def cancel(self, run_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a run that is not wanted any more. See `Runtime.cancel`."""
        return self._await(self._signalling.cancel(run_id, reason, by=by))

    def release(self, run_id: str) -> bool:
        """Try once more with a run that is quarantined. See `Runtime.release`."""
        return self._await(self._signalling.release(run_id))
