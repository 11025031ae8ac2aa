"""The demo's model: extractive, built in, and no language model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from outlive.actors import Finish, ModelPart, ModelRequest, TextDelta, ToolCallPart
from outlive.cli._demo.brief import Source, write_brief
from outlive.cli._demo.fetch import Page
from outlive.cli._demo.publishing import PUBLISH
from outlive.cli._demo.reading import OPEN, READ
from outlive.cli._demo.rounds import next_round
from outlive.events import Usage
from outlive.projections import AssistantMessage, Message, ToolMessage, UserMessage

MODEL_NAME: Final = "built-in-extractive"
MODEL_SAYS: Final = "built-in extractive model: picks sentences from the pages, no LLM"

_SITE_LINE: Final = re.compile(r"^Site: (\S+)$", re.MULTILINE)
_PUBLISH_LINE: Final = re.compile(r"^Publish: (.+)$", re.MULTILINE)
_WORD: Final = re.compile(r"\S+\s*")
_CHUNKS: Final = 100  # pieces that an answer is streamed in, about
_LONGEST_DELAY: Final = 0.15  # seconds between two of them


class Wish(msgspec.Struct, frozen=True):
    """What the input of a run asks for."""

    question: str
    site: str
    publish_to: str = ""  # a file; empty: the brief is not to be published


class Answer(msgspec.Struct, frozen=True):
    """What the model says: text, tool calls, or both. A brief is streamed slowly."""

    text: str = ""
    calls: tuple[ToolCallPart, ...] = ()
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
    """Has the site read, then answers with a brief made of the site's sentences.

    It reads the first page by itself, and asks for the others by the links that it knows: each
    of these calls is a background task, that reads a few pages. What they find may link to
    more.

    If the brief is to be published, it asks for that along with it, and says at last what came
    of it. The answer depends on the messages alone: a second attempt gives the same text.
    Tokens are counted as words.

    Args:
        max_pages: how many it asks for at most.
        answer_time: seconds over which a brief is streamed; it is only there to be seen.
    """

    def __init__(self, *, max_pages: int = 40, answer_time: float = 0.0) -> None:
        self._max_pages = max_pages
        self._answer_time = answer_time

    @property
    def name(self) -> str:
        """What the log calls this model."""
        return MODEL_NAME

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Stream a text, tool calls, or both."""
        answer = await asyncio.to_thread(answer_to, request.messages, max_pages=self._max_pages)
        chunks = chunks_of(answer.text) if answer.is_brief else [answer.text] if answer.text else []
        delay = min(self._answer_time / max(len(chunks), 1), _LONGEST_DELAY)
        for chunk in chunks:
            if delay and answer.is_brief:
                await asyncio.sleep(delay)
            yield TextDelta(chunk)
        for call in answer.calls:
            yield call
        heard = sum(_words(message) for message in request.messages)
        said = len(answer.text.split()) + len(answer.calls)
        yield Usage(input_tokens=heard, output_tokens=said)
        yield Finish("tool_calls" if answer.calls else "stop")


def answer_to(messages: Sequence[Message], *, max_pages: int) -> Answer:
    """Return what the model says to these messages. Pure."""
    asked = next((m.text for m in messages if isinstance(m, UserMessage)), "")
    wish = wish_of(asked)
    if wish is None:
        return Answer("Say which site to read, in a line of its own: `Site: http://...`")
    heard = {m.name: m for m in messages if isinstance(m, ToolMessage)}
    opened, published = heard.get(OPEN), heard.get(PUBLISH)
    if published is not None:
        return _last_word(published)
    if opened is None:
        return Answer(calls=(ToolCallPart(OPEN, {"url": wish.site}),))
    if opened.error is not None:
        return Answer(f"The site could not be read, so there is no answer: {opened.error.message}")
    first, urls, read = msgspec.convert(opened.result, Page), _asked_for(messages), _read(messages)
    tasks = next_round(first, urls, read, max_pages=max_pages)
    if tasks:
        return Answer(calls=tuple(ToolCallPart(READ, {"urls": list(task)}) for task in tasks))
    brief = write_brief(wish.question, _sources((first, *read)))
    publish = ToolCallPart(PUBLISH, {"path": wish.publish_to, "text": brief})
    return Answer(brief, (publish,) if wish.publish_to else (), is_brief=True)


def _asked_for(messages: Sequence[Message]) -> list[str]:
    """Return the addresses that were to be read, in order."""
    calls = [c for m in messages if isinstance(m, AssistantMessage) for c in m.tool_calls]
    wanted = [call.arguments.get("urls") for call in calls if call.name == READ]
    return [str(url) for urls in wanted if isinstance(urls, list) for url in urls]


def _read(messages: Sequence[Message]) -> list[Page]:
    """Return the pages that were read, in order; those of a task that has failed are missing."""
    told = [m for m in messages if isinstance(m, ToolMessage) and m.name == READ]
    found = [msgspec.convert(m.result, list[Page]) for m in told if m.error is None]
    return [page for pages in found for page in pages]


def _sources(pages: Sequence[Page]) -> list[Source]:
    """Return what there is to cite: a page that is found at two paths once."""
    found: dict[object, Source] = {}
    for page in pages:
        if not page.skipped:
            source = Source(page.title, page.url, page.passages)
            found.setdefault((page.title, page.passages), source)
    return list(found.values())


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
