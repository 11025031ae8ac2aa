"""The demo's model picks sentences of the pages that it was given, and says which."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from outlive.actors import Finish, ModelPart, ModelRequest, TextDelta, ToolCallPart
from outlive.cli._demo.brief import Source, write_brief
from outlive.cli._demo.command import QUESTION
from outlive.cli._demo.fetch import Page, path_of
from outlive.cli._demo.html import Passage
from outlive.cli._demo.model import ExtractiveModel, Wish, answer_to, ask, wish_of
from outlive.cli._demo.words import split_sentences, stem, terms_of
from outlive.events import CallId, Failure, RequestedToolCall, Usage, Value, to_plain
from outlive.projections import AssistantMessage, Message, ToolMessage, UserMessage
from tests.cli.support import handbook

OPEN = RequestedToolCall(call_id=CallId("0.0"), name="open_site", arguments={"url": "http://site/"})
PAGES = handbook()


def parts_of(*messages: Message) -> list[ModelPart]:
    request = ModelRequest(
        run_id="r",
        agent_id="a",
        step=sum(isinstance(message, AssistantMessage) for message in messages),
        attempt=1,
        instructions="",
        messages=messages,
        tools=(),
    )

    async def collect() -> list[ModelPart]:
        return [part async for part in ExtractiveModel().stream(request)]

    return asyncio.run(collect())


def as_page(source: Source, *links: str) -> Page:
    return Page(
        path=path_of(source.url),
        url=source.url,
        title=source.title,
        passages=source.passages,
        links=links,
    )


def opened(question: str, first: Page) -> list[Message]:
    """Return the messages of a run that has read the first page."""
    return [
        UserMessage(text=ask(question, "http://site/")),
        AssistantMessage(tool_calls=(OPEN,)),
        ToolMessage(call_id=OPEN.call_id, name=OPEN.name, result=to_plain(first)),
    ]


def reading(number: int, pages: Sequence[Page]) -> tuple[RequestedToolCall, ToolMessage]:
    """Return a call for some pages, and its answer."""
    call_id = CallId(f"1.{number}")
    urls: list[Value] = [page.url for page in pages]
    call = RequestedToolCall(call_id=call_id, name="read_pages", arguments={"urls": urls})
    return call, ToolMessage(call_id=call_id, name=call.name, result=to_plain(list(pages)))


def read(question: str, pages: list[Source]) -> list[Message]:
    """Return the messages of a run that has read the pages, in two tasks."""
    first, *others = [as_page(page) for page in pages]
    told = [reading(0, others[:9]), reading(1, others[9:])]
    return [
        *opened(question, first),
        AssistantMessage(tool_calls=tuple(call for call, _ in told)),
        *(answer for _, answer in told),
    ]


def text_of(parts: list[ModelPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


def quotes(brief: str) -> list[tuple[str, int]]:
    """Return the sentences of a brief with the numbers of their sources."""
    body = brief.partition("\n## Sources\n")[0]
    found = re.findall(r"(?:^- (?:\*\*.+?\*\* )?|^|(?<=\] ))(.+?) \[(\d+)\]", body, re.MULTILINE)
    return [(sentence, int(number)) for sentence, number in found]


def sources(brief: str) -> dict[int, str]:
    listed = brief.partition("\n## Sources\n")[2]
    return {int(n): url for n, url in re.findall(r"^(\d+)\. .*, (\S+)$", listed, re.MULTILINE)}


def test_it_first_asks_for_the_first_page() -> None:
    parts = parts_of(UserMessage(text=ask("Why?", "http://site/index.html")))

    assert parts == [
        ToolCallPart("open_site", {"url": "http://site/index.html"}),
        Usage(input_tokens=3, output_tokens=1),
        Finish("tool_calls"),
    ]


def urls_of(*names: str) -> dict[str, Value]:
    return {"urls": [f"http://site/{name}" for name in names]}


def test_it_then_asks_for_all_pages_that_are_linked_to_a_few_in_each_call() -> None:
    links = [f"/{number}.html" for number in range(13)]
    first = Page(path="/", url="http://site/index.html", links=("/index.html", "/", *links))

    parts = parts_of(*opened(QUESTION, first))

    names = [link[1:] for link in links]
    assert parts[:4] == [
        ToolCallPart("read_pages", urls_of(*names[:4])),
        ToolCallPart("read_pages", urls_of(*names[4:8])),
        ToolCallPart("read_pages", urls_of(*names[8:12])),
        ToolCallPart("read_pages", urls_of(*names[12:])),
    ]
    assert parts[-1] == Finish("tool_calls")


def test_few_pages_are_shared_out_too() -> None:
    first = Page(path="/", url="http://site/", links=("/a", "/b", "/c"))

    assert parts_of(*opened(QUESTION, first))[:3] == [
        ToolCallPart("read_pages", urls_of(name)) for name in "abc"
    ]


def test_pages_that_were_found_by_reading_are_read_in_another_round() -> None:
    first = Page(path="/", url="http://site/", links=("/a",))
    moved = Page(path="/a", url="http://site/b", links=("/", "/a", "/b", "/deep/c", "/deep/d"))
    call, answer = reading(0, [moved])
    asked = msgspec.structs.replace(call, arguments=urls_of("a"))

    parts = parts_of(*opened(QUESTION, first), AssistantMessage(tool_calls=(asked,)), answer)

    assert parts[:2] == [
        ToolCallPart("read_pages", urls_of("deep/c")),
        ToolCallPart("read_pages", urls_of("deep/d")),
    ]


def test_it_asks_for_no_more_pages_than_it_may() -> None:
    first = Page(path="/", url="http://site/", links=tuple(f"/{name}" for name in "abcdefgh"))

    calls = answer_to(opened(QUESTION, first), max_pages=5).calls
    none = answer_to(opened(QUESTION, first), max_pages=1)

    assert [call.arguments for call in calls] == [urls_of("a", "b"), urls_of("c", "d")]
    assert none.is_brief


def test_pages_of_a_task_that_has_failed_are_missing_and_are_not_asked_for_again() -> None:
    question, pages = "How hot should water for tea be?", ["Green tea wants water of 70 degrees."]
    first = as_page(Source("Tea", "http://site/", (Passage("Tea", pages[0]),)), "/a")
    call, _ = reading(0, [Page(path="/a", url="http://site/a")])
    failed = ToolMessage(
        call_id=call.call_id, name=call.name, error=Failure(kind="error", message="no route")
    )

    answer = answer_to(
        [*opened(question, first), AssistantMessage(tool_calls=(call,)), failed], max_pages=9
    )

    assert answer.is_brief
    assert quotes(answer.text) == [(pages[0], 1)]


def test_a_page_at_two_addresses_is_one_source() -> None:
    pages = [PAGES[0], msgspec.structs.replace(PAGES[0], url="http://site/again"), *PAGES[1:]]

    assert text_of(parts_of(*read(QUESTION, pages))) == write_brief(QUESTION, PAGES)


def test_it_streams_the_brief_in_many_pieces_and_counts_words() -> None:
    parts = parts_of(*read(QUESTION, PAGES))

    brief = text_of(parts)
    assert brief == write_brief(QUESTION, PAGES)
    assert sum(isinstance(part, TextDelta) for part in parts) > 50
    *_, usage, finish = parts
    assert isinstance(usage, Usage)
    assert usage.output_tokens == len(brief.split())
    assert finish == Finish()


def test_a_second_attempt_gives_the_same_answer() -> None:
    messages = read(QUESTION, PAGES)

    assert parts_of(*messages) == parts_of(*messages)


def test_what_came_through_the_log_gives_the_same_answer() -> None:
    messages = read(QUESTION, PAGES)
    stored = msgspec.msgpack.encode(messages)
    again = msgspec.msgpack.decode(stored, type=list[UserMessage | AssistantMessage | ToolMessage])

    assert parts_of(*again) == parts_of(*messages)


@pytest.mark.parametrize(
    "question",
    [
        QUESTION,
        "What does fsync guarantee?",
        "How long can a person take to approve an action?",
        "How do I change the schema of stored events?",
        "What should a queue do under overload?",
    ],
)
def test_each_sentence_stands_on_the_page_that_is_cited(question: str) -> None:
    brief = write_brief(question, PAGES)

    listed = sources(brief)
    assert len(quotes(brief)) >= 4
    assert {number for _, number in quotes(brief)} == listed.keys()
    texts = {
        page.url: {s for passage in page.passages for s in split_sentences(passage.text)}
        for page in PAGES
    }
    for sentence, number in quotes(brief):
        assert sentence in texts[listed[number]]


def test_another_question_gives_another_brief_about_its_subject() -> None:
    approval = write_brief("How long can a person take to approve an action?", PAGES)
    retries = write_brief("How should retries be spaced?", PAGES)

    assert "human-approval.html" in sources(approval)[1]
    assert "retries-and-backoff.html" in sources(retries)[1]
    assert not {s for s, _ in quotes(approval)} & {s for s, _ in quotes(retries)}


def test_no_sentence_is_quoted_twice() -> None:
    said = [sentence for sentence, _ in quotes(write_brief(QUESTION, PAGES))]

    assert len(said) == len(set(said))


def test_words_that_no_page_has_are_named() -> None:
    brief = write_brief("Does fsync work on a zeppelin?", PAGES)

    assert "On no page: zeppelin." in brief
    assert "fsync" in brief


def test_a_question_about_something_else_gets_no_answer() -> None:
    brief = write_brief("Zeppelin giraffe?", PAGES)

    assert "None of the pages" in brief
    assert quotes(brief) == []


def test_no_pages_are_no_error() -> None:
    assert "None of the pages" in write_brief("Why?", [Source("Empty", "http://site/", ())])
    assert "None of the pages" in write_brief("Why?", [])


def test_a_site_that_could_not_be_read_is_said() -> None:
    *before, _ = opened("Why?", Page(path="/", url="http://site/"))
    failed = ToolMessage(
        call_id=OPEN.call_id, name=OPEN.name, error=Failure(kind="error", message="no route")
    )

    assert "could not be read" in text_of(parts_of(*before, failed))
    assert "no route" in text_of(parts_of(*before, failed))


def to_publish(question: str) -> list[Message]:
    """Return the messages of a run that has read the pages, and is to publish its brief."""
    _, *read_already = read(question, PAGES)
    return [UserMessage(text=ask(question, "http://site/", "/tmp/a brief.md")), *read_already]


def test_a_brief_that_is_to_be_published_comes_with_the_wish_to_do_so() -> None:
    parts = parts_of(*to_publish(QUESTION))

    brief = text_of(parts)
    assert brief == write_brief(QUESTION, PAGES)
    assert ToolCallPart("publish", {"path": "/tmp/a brief.md", "text": brief}) in parts
    assert parts[-1] == Finish("tool_calls")


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ({"result": "/tmp/a brief.md"}, "Published: /tmp/a brief.md"),
        ({"error": Failure(kind="denied", message="not agreed")}, "Not published: not agreed"),
    ],
)
def test_it_says_at_last_what_came_of_publishing(outcome: dict[str, Any], says: str) -> None:
    published = ToolMessage(call_id=CallId("2.0"), name="publish", **outcome)

    parts = parts_of(*to_publish(QUESTION), AssistantMessage(text="# Brief"), published)

    assert text_of(parts) == says
    assert parts[-1] == Finish()


def test_a_question_cannot_say_where_the_brief_goes_to() -> None:
    assert wish_of(ask("Publish: /etc/motd", "http://site/")) == Wish(
        "Publish: /etc/motd", "http://site/"
    )
    assert wish_of("Why?") is None


def test_a_page_of_one_sentence_is_enough() -> None:
    sentence = "Green tea should be brewed with water at seventy degrees."
    pages = [Source("Tea", "http://site/tea", (Passage("Tea", sentence),))]

    brief = write_brief("How hot should water for tea be?", pages)

    assert quotes(brief) == [(sentence, 1)]
    assert sources(brief) == {1: "http://site/tea"}


@pytest.mark.parametrize(
    ("words", "root"),
    [
        ("crash crashes crashed crashing", "crash"),
        ("retry retries retried retrying", "retr"),
        ("idempotent idempotency idempotence", "idempotent"),
        ("durable durability durably", "durabl"),
    ],
)
def test_forms_of_a_word_have_one_stem(words: str, root: str) -> None:
    assert {stem(word) for word in words.split()} == {root}


def test_sentences_do_not_end_at_abbreviations_and_numbers() -> None:
    text = 'Use a log, e.g. Kafka. It costs 2.5 dollars. "Really?" No. 7 is next.'

    assert list(split_sentences(text)) == [
        "Use a log, e.g. Kafka.",
        "It costs 2.5 dollars.",
        '"Really?"',
        "No. 7 is next.",
    ]


def test_words_without_meaning_are_left_out() -> None:
    assert terms_of("What is the leader's log?") == ("leader", "log")
