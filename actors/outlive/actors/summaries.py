"""What condenses that part of a thread which runs on it do not see any more."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from outlive.actors.model import Finish, Model, ModelRequest, TextDelta, checked_usage
from outlive.events import (
    AssistantMessage,
    FilePart,
    ImagePart,
    InvalidDefinition,
    Message,
    TextPart,
    ToolMessage,
    Usage,
    UserMessage,
    Value,
    to_plain,
)
from outlive.events.sizes import check_size
from outlive.projections.threads.history import (
    CHARACTERS_PER_TOKEN,
    summary_message,
    tokens_of,
)

INSTRUCTIONS: Final = (
    "Condense the conversation that you are given, along with the summary of what was before "
    "it. Keep names, numbers, decisions, promises and open questions. Answer with the new "
    "summary alone."
)
"""What a model is told that is to condense; an agent has instructions of its own."""

_encode: Final = msgspec.json.Encoder().encode


class ToSummarize(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be condensed: `messages`, the oldest first, and the `summary` of all before."""

    thread_id: str
    resource_id: str
    agent_id: str
    """The agent of the run that is about to begin."""
    run_id: str
    summary: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    """So many the new summary may have; what has more is refused."""


class Summary(NamedTuple):
    """What it is condensed to."""

    text: str
    usage: Usage = Usage()


@runtime_checkable
class Instructed(Protocol):
    """What an `Agent` is here: its model, and what that is told."""

    @property
    def model(self) -> Model:
        """Answers."""
        ...

    @property
    def instructions(self) -> object:
        """Text; of one with a function nothing can be condensed."""
        ...

    @property
    def model_settings(self) -> dict[str, Value]:
        """Reaches the model."""
        ...


Summarize: TypeAlias = Callable[[ToSummarize], str | Awaitable[str]] | Model | Instructed


def check_summarize(summarize: object) -> None:
    """Return if this can condense. Raises InvalidDefinition."""
    if isinstance(summarize, Instructed):
        if not isinstance(summarize.instructions, str):
            raise InvalidDefinition("summarize: the instructions of that agent are text")
    elif not isinstance(summarize, Model) and not callable(summarize):
        raise InvalidDefinition(
            f"summarize is a function, a model or an agent, not {summarize!r:.80}"
        )


async def summary_of(summarize: Summarize, part: ToSummarize) -> Summary:
    """Return what a part of a thread is condensed to: text that can be stored.

    Raises:
        TypeError, ValueError, UnserialisableValue, EventTooLarge: it is something else, or
            longer than it may be.
        Exception: whatever the function or the model raises.
    """
    if isinstance(summarize, Instructed):
        instructions = str(summarize.instructions) or INSTRUCTIONS
        found = await _asked(summarize.model, instructions, summarize.model_settings, part)
    elif isinstance(summarize, Model):
        found = await _asked(summarize, INSTRUCTIONS, {}, part)
    else:
        said = summarize(part)
        found = Summary(await said if inspect.isawaitable(said) else said)
    if not isinstance(found.text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a summary is text, not {type(found.text).__name__}")
    if not found.text.strip():
        raise ValueError("the summary is empty")
    to_plain(found.text)
    check_size(found.text)
    tokens = tokens_of(summary_message(found.text))
    if part.max_tokens is not None and tokens > part.max_tokens:
        raise ValueError(f"the summary has {tokens:,} tokens, of {part.max_tokens:,} at most")
    return found


async def _asked(
    model: Model, instructions: str, settings: dict[str, Value], part: ToSummarize
) -> Summary:
    request = ModelRequest(
        run_id=part.run_id,
        agent_id=part.agent_id,
        step=0,
        attempt=1,
        instructions=_bounded(instructions, part),
        messages=(UserMessage(text=told(part)),),
        tools=(),
        settings=settings,
    )
    pieces: list[str] = []
    usage, finished = Usage(), False
    async for piece in model.stream(request):
        match piece:
            case TextDelta():
                pieces.append(piece.text)
            case Usage():
                usage += checked_usage(piece)
            case Finish():
                finished = True
            case _:
                continue
    if not finished:
        raise ValueError("the model's answer ended without `Finish`")
    return Summary("".join(pieces), usage)


def told(part: ToSummarize) -> str:
    """Return how a model reads what it is to condense."""
    lines = [f"<summary>\n{part.summary}\n</summary>\n"] if part.summary else []
    return "\n".join([*lines, *map(_line, part.messages)])


def _bounded(instructions: str, part: ToSummarize) -> str:
    """Return what a model is told that is to condense, with how long that may be."""
    if part.max_tokens is None:
        return instructions
    characters = part.max_tokens * CHARACTERS_PER_TOKEN // 2  # Not all obey to the letter.
    return f"{instructions}\n\nUse {characters:,} characters at most."


def _line(message: Message) -> str:
    match message:
        case UserMessage():
            others = (_named(part) for part in message.parts if not isinstance(part, TextPart))
            return " ".join(["user:", *([message.text] if message.text else []), *others])
        case AssistantMessage():
            calls = (f"[calls {one.name}({_json(one.arguments)})]" for one in message.tool_calls)
            return " ".join(["assistant:", *([message.text] if message.text else []), *calls])
        case ToolMessage():
            return f"tool {message.name}: {message.text}"


def _named(part: ImagePart | FilePart) -> str:
    """Return what stands for an image or a file: that there was one, and its name if it has one."""
    name = part.name if isinstance(part, FilePart) else ""
    if not name and not part.url.startswith("data:"):
        name = part.url
    return f"[{' '.join(filter(None, (part.media_type, name)))}]"


def _json(value: object) -> str:
    return _encode(value).decode()
