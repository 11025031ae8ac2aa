"""The demo's model picks sentences of the pages that it was given, and says which."""

import asyncio
import re
from typing import Any

import msgspec
import pytest

from outlive.actors import Finish, ModelPart, ModelRequest, TextDelta, ToolCallPart
from outlive.cli._demo.brief import Source, write_brief
from outlive.cli._demo.command import QUESTION
from outlive.cli._demo.html import Passage
from outlive.cli._demo.model import ExtractiveModel, Wish, ask, wish_of
from outlive.cli._demo.words import split_sentences, stem, terms_of
from outlive.events import CallId, Failure, RequestedToolCall, Usage, to_plain
from outlive.projections import AssistantMessage, Message, ToolMessage, UserMessage
from tests.cli.support import handbook

CALL = RequestedToolCall(call_id=CallId("0.0"), name="read_site", arguments={})
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


def read(question: str, pages: list[Source]) -> list[Message]:
    """Return the messages of a run that has read the pages."""
    result = to_plain({"pages": pages})
    return [
        UserMessage(text=ask(question, "http://site/")),
        AssistantMessage(tool_calls=(CALL,)),
        ToolMessage(call_id=CALL.call_id, name=CALL.name, result=result),
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


def test_it_first_asks_for_the_site_to_be_read() -> None:
    parts = parts_of(UserMessage(text=ask("Why?", "http://site/index.html")))

    assert parts == [
        ToolCallPart("read_site", {"url": "http://site/index.html"}),
        Usage(input_tokens=3, output_tokens=1),
        Finish("tool_calls"),
    ]


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
    *before, _ = read("Why?", [])
    failed = ToolMessage(
        call_id=CALL.call_id, name=CALL.name, error=Failure(kind="error", message="no route")
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
    published = ToolMessage(call_id=CallId("1.0"), name="publish", **outcome)

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
