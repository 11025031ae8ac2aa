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
from outlive.cli._demo.publishing import PUBLISH
from outlive.events import Usage
from outlive.projections import AssistantMessage, Message, ToolMessage, UserMessage

MODEL_NAME: Final = "built-in-extractive"
MODEL_SAYS: Final = "built-in extractive model: picks sentences from the pages, no LLM"

_READ: Final = "read_site"
_SITE_LINE: Final = re.compile(r"^Site: (\S+)$", re.MULTILINE)
_PUBLISH_LINE: Final = re.compile(r"^Publish: (.+)$", re.MULTILINE)
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


class Wish(msgspec.Struct, frozen=True):
    """What the input of a run asks for."""

    question: str
    site: str
    publish_to: str = ""  # a file; empty: the brief is not to be published


class Answer(msgspec.Struct, frozen=True):
    """What the model says: text, a tool call, or both. A brief is streamed slowly."""

    text: str = ""
    call: ToolCallPart | None = None
    is_brief: bool = False


def ask(question: str, site: str, publish_to: str = "") -> str:
    """Return the input of a run: the question, the site to read, and where the brief goes to."""
    publish = f"\nPublish: {publish_to}" if publish_to else ""
    return f"{question}\n\nSite: {site}{publish}"


def wish_of(input: str) -> Wish | None:
    """Return what `ask` was given; None if no site is to be read."""
    site = _SITE_LINE.search(input)
    if site is None:
        return None
    publish = _PUBLISH_LINE.search(input, site.end())
    return Wish(input[: site.start()].strip(), site[1], publish[1] if publish else "")


class ExtractiveModel:
    """Asks for the site to be read, then answers with a brief made of the site's sentences.

    If the brief is to be published, it asks for that along with it, and says at last what came
    of it. The answer depends on the messages alone: a second attempt gives the same text.
    Tokens are counted as words.

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
        """Stream a text, a tool call, or both."""
        answer = await asyncio.to_thread(answer_to, request.messages)
        chunks = chunks_of(answer.text) if answer.is_brief else [answer.text] if answer.text else []
        delay = min(self._answer_time / max(len(chunks), 1), _LONGEST_DELAY)
        for chunk in chunks:
            if delay and answer.is_brief:
                await asyncio.sleep(delay)
            yield TextDelta(chunk)
        if answer.call is not None:
            yield answer.call
        heard = sum(_words(message) for message in request.messages)
        said = len(answer.text.split()) + (answer.call is not None)
        yield Usage(input_tokens=heard, output_tokens=said)
        yield Finish("stop" if answer.call is None else "tool_calls")


def answer_to(messages: tuple[Message, ...]) -> Answer:
    """Return what the model says to these messages. Pure."""
    asked = next((m.text for m in messages if isinstance(m, UserMessage)), "")
    wish = wish_of(asked)
    if wish is None:
        return Answer("Say which site to read, in a line of its own: `Site: http://...`")
    heard = {m.name: m for m in messages if isinstance(m, ToolMessage)}
    read, published = heard.get(_READ), heard.get(PUBLISH)
    if published is not None:
        return _last_word(published)
    if read is None:
        return Answer(call=ToolCallPart(_READ, {"url": wish.site}))
    if read.error is not None:
        return Answer(f"The site could not be read, so there is no answer: {read.error.message}")
    found = msgspec.convert(read.result, _Site)
    sources = [Source(page.title, page.url, page.passages) for page in found.pages]
    brief = write_brief(wish.question, sources)
    publish = ToolCallPart(PUBLISH, {"path": wish.publish_to, "text": brief})
    return Answer(brief, publish if wish.publish_to else None, is_brief=True)


def _last_word(published: ToolMessage) -> Answer:
    if published.error is None:
        return Answer(f"Published: {published.text}")
    return Answer(f"Not published: {published.error.message}")


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
