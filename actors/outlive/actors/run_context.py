"""What a registered function is told of the run that it is asked about."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from outlive.events import RunId, Usage, Value
from outlive.projections import Message

Functions: TypeAlias = Mapping[str, Callable[..., Any]]
"""What stored data may refer to by name."""

EMPTY: Final[Functions] = MappingProxyType({})


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as a function sees it: nothing but what is recorded, and `deps`.

    `step` counts completed model calls, `usage` is what they have taken. Do not change the
    values in it.
    """

    run_id: RunId
    agent_id: str
    step: int
    messages: tuple[Message, ...]
    usage: Usage
    metadata: dict[str, Value]
    request_context: dict[str, Value]
    deps: Any
    """What was given to `Runtime(deps=...)`."""
    thread_id: str | None = None
    """The thread that the run works on; `messages` begin with what it sees of that."""
    resource_id: str | None = None
    """To whom that thread belongs."""


async def ask(function: Callable[..., Any], context: RunContext) -> Any:  # noqa: ANN401  # a user's
    """Return what a function, sync or async, says of a run."""
    answer = function(context)
    return await answer if inspect.isawaitable(answer) else answer
