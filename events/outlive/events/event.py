"""The root of all events, and the shapes that several of them share."""

from __future__ import annotations

import msgspec

from outlive.events.background import BackgroundCall
from outlive.events.ids import CallId, RunId
from outlive.events.values import Value


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False
):
    """A fact. Tagged with a name that outlives the class name; never changed, never refused.

    Fields at their default are not stored. New fields have defaults, types never change, and
    a wrong fact is answered by a new one.
    """


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why something did not succeed.

    `kind` is one of a few fixed words that code may rely on; `message` is for people and
    models, cut at 2,000 characters; `exception` is the type's name where one was raised.
    """

    kind: str
    message: str = ""
    exception: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one model call, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum of both."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class ChildRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The run that answers the call of a sub-agent."""

    run_id: RunId
    agent_id: str


class RequestedToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A model's wish to have a tool called.

    `call_id` is ours (`{step}.{index}`), `provider_id` the model provider's. With `child` it is a
    sub-agent that is called, with `task` a tool in the background.
    """

    call_id: CallId
    name: str
    arguments: dict[str, Value] = {}
    provider_id: str = ""
    child: ChildRun | None = None
    task: BackgroundCall | None = None
