"""Why a model call has failed, in the words that decide what is done about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, TypeAlias, get_args

from outlive.actors.retry import Retry, seconds
from outlive.events import InvalidDefinition, OutliveError

ModelErrorKind: TypeAlias = Literal["rate_limit", "unavailable", "timeout", "rejected", "error"]

MAY_PASS: Final = ("rate_limit", "unavailable", "timeout", "incomplete")
"""The kinds of failed model calls that are tried again if a `Retry` does not say which."""

MODEL_RETRY: Final = Retry(3, max_delay=60.0)
"""What an agent does that says nothing of it."""

_LONGEST_WAIT: Final = 366 * 24 * 3600.0


class ModelError(OutliveError):
    """Raised by a `Model`: its provider did not answer, and this is why.

    Any exception with a number of seconds as `retry_after` is taken for one of kind
    `rate_limit`, a `TimeoutError` for a `timeout`, a `ConnectionError` for `unavailable`.

    Args:
        message: for people.
        kind: `rate_limit` (too many requests), `unavailable` (a 5xx, no connection), `timeout`,
            `rejected` (the request itself is wrong) or `error`.
        retry_after: seconds, or a `timedelta`, before which another try is of no use.
        retryable: whether another try may help. Left out, `Agent(model_retry=)` says so by the
            kind: the first three may pass.

    Raises:
        InvalidDefinition: a kind that there is not, or a time that is none.
    """

    def __init__(
        self,
        message: str = "",
        *,
        kind: ModelErrorKind = "error",
        retry_after: float | timedelta | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        if kind not in get_args(ModelErrorKind):
            raise InvalidDefinition(f"kind is one of {get_args(ModelErrorKind)}, not {kind!r}")
        self.kind: Final[ModelErrorKind] = kind
        self.retry_after: Final = (
            None if retry_after in (None, 0) else seconds("retry_after", retry_after)
        )
        self.retryable: Final = retryable


def kind_of(error: BaseException) -> str:
    """Return the kind of failure that an exception from a model is."""
    if isinstance(error, ModelError):
        return error.kind
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "unavailable"
    return "error" if retry_after_ns(error) is None else "rate_limit"


def retry_after_ns(error: BaseException) -> int | None:
    """Return how long the provider wants to be left alone; None if it does not say."""
    said: object = getattr(error, "retry_after", None)
    if isinstance(said, timedelta):
        said = said.total_seconds()
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return int(said * 1e9) if 0 <= said <= _LONGEST_WAIT else None


def retryable(error: BaseException) -> bool | None:
    """Return whether the error itself says that another try may help; None if it does not."""
    said = getattr(error, "retryable", None)
    return said if isinstance(said, bool) else None
