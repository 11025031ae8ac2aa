"""The demo's model: extractive, built in, and no language model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from outlive.actors import Finish, ModelPart, ModelRequest, TextDelta, ToolCallPart
from outlive.cli._demo.brief import Source, write_brief
from outlive.cli._demo.html import Passage
from outlive.events import Usage
from outlive.projections import AssistantMessage, Message, ToolMessage, UserMessage

MODEL_NAME: Final = "built-in-extractive"
MODEL_SAYS: Final = "built-in extractive model: picks sentences from the pages, no LLM"

_SITE_LINE: Final = re.compile(r"^Site: (\S+)$", re.MULTILINE)
_WORD: Final = re.compile(r"\S+\s*")
_CHUNKS: Final = 100  # pieces that an answer is streamed in, about
_LONGEST_DELAY: Final = 0.15  # seconds between two of them


class _Page(msgspec.Struct):
    """What the model reads of a page in the tool's answer."""

    title: str
    url: str
    passages: tuple[Passage, ...] = ()


class _Site(msgspec.Struct):
    pages: tuple[_Page, ...]


def ask(question: str, site: str) -> str:
    """Return the input of a run: the question, and the address of the site to read."""
    return f"{question}\n\nSite: {site}"


class ExtractiveModel:
    """Asks for the site to be read, then answers with a brief made of the site's sentences.

    The answer depends on the messages alone: a second attempt gives the same text. Tokens are
    counted as words.

    Args:
        answer_time: seconds over which a brief is streamed; it is only there to be seen.
    """

    def __init__(self, *, answer_time: float = 0.0) -> None:
        self._answer_time = answer_time

    @property
    def name(self) -> str:
        """What the log calls this model."""
        return MODEL_NAME

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Stream a tool call, or the brief."""
        answer = await asyncio.to_thread(answer_to, request.messages)
        heard = sum(_words(message) for message in request.messages)
        if isinstance(answer, ToolCallPart):
            yield answer
            yield Usage(input_tokens=heard, output_tokens=1)
            yield Finish("tool_calls")
            return
        chunks = chunks_of(answer)
        is_brief = answer.startswith("# ")  # and no complaint
        delay = min(self._answer_time / max(len(chunks), 1), _LONGEST_DELAY) if is_brief else 0.0
        for chunk in chunks:
            if delay:
                await asyncio.sleep(delay)
            yield TextDelta(chunk)
        yield Usage(input_tokens=heard, output_tokens=len(answer.split()))
        yield Finish()


def answer_to(messages: tuple[Message, ...]) -> ToolCallPart | str:
    """Return what the model says to these messages. Pure."""
    asked = next((m.text for m in messages if isinstance(m, UserMessage)), "")
    site = _SITE_LINE.search(asked)
    if site is None:
        return "Say which site to read, in a line of its own: `Site: http://...`"
    read = next((m for m in reversed(messages) if isinstance(m, ToolMessage)), None)
    if read is None:
        return ToolCallPart("read_site", {"url": site[1]})
    question = asked[: site.start()].strip()
    if read.error is not None:
        return f"The site could not be read, so there is no answer: {read.error.message}"
    found = msgspec.convert(read.result, _Site)
    sources = [Source(page.title, page.url, page.passages) for page in found.pages]
    return write_brief(question, sources)


def chunks_of(text: str) -> list[str]:
    """Cut a text between words into about a hundred pieces; fewer if it has fewer words."""
    words = _WORD.findall(text)
    size = max(1, len(words) // _CHUNKS)
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]


def _words(message: Message) -> int:
    match message:
        case UserMessage() | AssistantMessage():
            return len(message.text.split())
        case ToolMessage():
            return len(message.text.split())
