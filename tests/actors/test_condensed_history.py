"""What falls out of what runs on a thread see is condensed: once, recorded, and seen first."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Finish,
    History,
    ModelRequest,
    Runtime,
    ScriptedModel,
    TextDelta,
    ToSummarize,
    Turn,
)
from outlive.actors.summaries import told
from outlive.actors.thread.condensing import MOST_AT_ONCE, PATIENCE_S, falls_out
from outlive.events import (
    AssistantMessage,
    CallId,
    FilePart,
    HistoryCondensed,
    ImagePart,
    InvalidDefinition,
    RequestedToolCall,
    RunStarted,
    TextPart,
    ToolMessage,
    Usage,
    UserMessage,
    run_stream,
)
from outlive.projections.threads.history import Said, SinceSummary
from outlive.testing import Simulation

C = CallId("0.0")
USER = UserMessage(text="x")
CALLS = AssistantMessage(tool_calls=(RequestedToolCall(call_id=C, name="f", arguments={}),))
ANSWERS = ToolMessage(call_id=C, name="f", result=1)
LONG = UserMessage(text="x" * 400)
IMAGE = ImagePart(media_type="image/png", data=b"x" * 100_000)
LARGE = UserMessage(text="look", parts=(TextPart("look"), IMAGE))
PDF = FilePart(media_type="application/pdf", url="https://a/b.pdf")
NAMED = FilePart(media_type="application/pdf", data=b"%PDF", name="bill.pdf")


def plain(part: ToSummarize) -> str:
    """Condense so that each message can be told: by their texts."""
    texts = [message.text for message in part.messages]
    return " ".join([part.summary, *texts]).strip()


class Talk:
    """A thread, and what an agent that answers with numbers was shown on it."""

    def __init__(self, sim: Simulation, shown: list[list[str]]) -> None:
        self.sim = sim
        self.shown = shown

    def append(self, *texts: str) -> None:
        async def append(rt: Runtime) -> None:
            await rt.threads.create(thread_id="t", resource_id="u")
            await rt.threads.append("t", [UserMessage(text=text) for text in texts])

        self.sim.run(append)

    def ask(self, text: str) -> None:
        self.start(text)
        self.sim.run(lambda rt: rt.result(text))

    def start(self, text: str, **more: Any) -> None:
        async def start(rt: Runtime) -> None:
            await rt.start("a", text, run_id=text, thread_id="t", resource_id="u", **more)

        self.sim.run(start)

    @property
    def condensed(self) -> list[HistoryCondensed]:
        return condensed(self.sim, "t")

    def place(self, run_id: str) -> Any:
        async def read(rt: Runtime) -> object:
            return rt.log.read(run_stream(run_id), limit=1)[0].event

        started = self.sim.run(read)
        assert isinstance(started, RunStarted)
        return started.thread


def agent(shown: list[list[str]], history: History | None) -> Agent:
    def answer(request: ModelRequest) -> Turn:
        shown.append([getattr(message, "text", "") for message in request.messages])
        return Turn(f"answer {len(shown)}")

    return Agent("a", model=ScriptedModel(answer), history=history)


def talk(summarize: Any = plain, **bounds: Any) -> tuple[Talk, Simulation]:
    shown: list[list[str]] = []
    history = History(**{"max_messages": 4, **bounds}, summarize=summarize)
    sim = Simulation([agent(shown, history)])
    return Talk(sim, shown), sim


def test_a_run_sees_a_summary_of_what_has_fallen_out_and_then_the_last_of_what_was_said() -> None:
    one, sim = talk()
    with sim:
        one.append("1", "2", "3", "4")
        one.ask("all of it fits")
        assert one.condensed == []
        one.ask("go")
        assert one.shown == [
            ["1", "2", "3", "4", "all of it fits"],
            ["<summary>1 2 3 4</summary>", "all of it fits", "answer 1", "go"],
        ]
        [condensed] = one.condensed
        assert (condensed.messages, condensed.run_id, condensed.error) == (4, "go", None)
        # Half of the bounds is free now: it is not done for each run.
        one.ask("once")
        assert len(one.condensed) == 1
        assert one.shown[2][0] == "<summary>1 2 3 4</summary>"
        one.ask("twice")
        assert one.shown[3][0] == "<summary>1 2 3 4 all of it fits answer 1 go answer 2</summary>"
        assert one.shown[3][1:] == ["once", "answer 3", "twice"]
        assert [each.messages for each in one.condensed] == [4, 4]


def test_what_a_run_sees_stays_the_same_however_often_its_process_dies() -> None:
    shown: list[list[str]] = []

    def answer(request: ModelRequest) -> Turn:
        shown.append([getattr(message, "text", "") for message in request.messages])
        return Turn("done", delay=10)

    calls: list[int] = []

    def counts(part: ToSummarize) -> str:
        calls.append(len(part.messages))
        return f"summary {len(calls)}"

    history = History(max_messages=2, summarize=counts)
    with Simulation([Agent("a", model=ScriptedModel(answer), history=history)]) as sim:
        one = Talk(sim, shown)
        one.append("1", "2", "3", "4", "5")
        one.start("go")
        sim.advance(1)
        sim.crash()
        sim.advance(1)
        sim.crash()
        sim.run(lambda rt: rt.result("go"))
        assert calls == [4]
        assert shown == [["<summary>summary 1</summary>", "5", "go"]] * 3


def test_what_could_not_be_condensed_is_not_tried_again_for_a_run_that_has_begun() -> None:
    calls: list[str] = []

    def second(part: ToSummarize) -> str:
        calls.append(part.run_id)
        if len(calls) == 1:
            raise ValueError("not now")
        return plain(part)

    one, sim = talk(second)
    with sim:
        one.append("1", "2", "3", "4", "5")
        sim.spawn(sim.client.call(lambda rt: rt.start("a", "go", run_id="go", thread_id="t")))
        # It dies when the run has begun, and the thread has not heard of it.
        while not sim.records("go"):
            sim.go_on(1)
        sim.crash()
        sim.run(lambda rt: rt.result("go"))
        assert calls == ["go"]
        assert [condensed.run_id for condensed in one.condensed] == ["go"]
        one.ask("next")
        assert calls == ["go", "next"]


def test_a_process_that_dies_while_it_condenses_does_it_once_more_and_records_it_once() -> None:
    calls: list[str] = []

    async def slow(part: ToSummarize) -> str:
        calls.append(part.messages[0].text)
        await asyncio.sleep(10)
        return "done"

    one, sim = talk(slow)
    with sim:
        one.append("1", "2", "3", "4", "5")
        one.start("go")
        sim.advance(5)
        sim.crash()
        sim.run(lambda rt: rt.result("go"))
        assert calls == ["1", "1"]
        assert len(one.condensed) == 1


async def hangs(_: ToSummarize) -> str:
    await asyncio.sleep(10_000)
    return ""


async def refuses_to_end(_: ToSummarize) -> str:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10_000)


async def cancelled_by_itself(_: ToSummarize) -> str:
    raise asyncio.CancelledError


def exits(_: ToSummarize) -> str:
    raise SystemExit(1)


class Says:
    """A model from outside, that says anything."""

    name = "says"

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    async def stream(self, _: ModelRequest) -> AsyncIterator[Any]:
        for part in self.parts:
            yield part


def takes(tokens: Any) -> Says:
    return Says(TextDelta(text="short"), Usage(input_tokens=tokens), Finish())


WRONG: list[tuple[Callable[[ToSummarize], object] | ScriptedModel | Says, str]] = [
    (lambda _: 1 / 0, "ZeroDivisionError"),
    (lambda _: "", "is empty"),
    (lambda _: 5, "is text, not int"),
    (lambda _: "\udc80", "Unserialisable"),
    (lambda _: "x" * 70_000_000, "EventTooLarge"),
    (hangs, f"longer than {PATIENCE_S:g} seconds"),
    (refuses_to_end, f"longer than {PATIENCE_S:g} seconds"),
    (cancelled_by_itself, "CancelledError"),
    (exits, "SystemExit"),
    (takes(1.5), "counts tokens, not 1.5"),
    (takes(-1), "counts tokens, not -1"),
    (takes(2**70), "counts tokens"),
    (Says(TextDelta(text=cast("Any", 5)), Finish()), "expected str"),
    (ScriptedModel([]), "ScriptExhausted"),
    (ScriptedModel([Turn("half", cut_off=True)]), "without `Finish`"),
]


@pytest.mark.parametrize(("wrong", "kind"), WRONG)
def test_what_cannot_be_condensed_is_recorded_and_tried_again_for_the_next_run(
    wrong: Any, kind: str
) -> None:
    asked = [wrong]

    def summarize(part: ToSummarize) -> Any:
        return plain(part) if not asked else asked.pop()(part)

    a_model = isinstance(wrong, ScriptedModel | Says)
    one, sim = talk(wrong if a_model else summarize)
    with sim:
        one.append("1", "2", "3", "4", "5")
        one.ask("go")
        assert one.shown == [["2", "3", "4", "5", "go"]]
        [failed] = one.condensed
        assert failed.error is not None
        assert kind in failed.error.message
        assert one.place("go").summary == 0
        if a_model:
            return
        one.ask("again")
        assert one.shown[1][0] == "<summary>1 2 3 4 5</summary>"


@pytest.mark.parametrize("whole", [False, True], ids=["model", "agent"])
def test_a_model_or_an_agent_condenses(whole: bool) -> None:
    told: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Turn:
        told.append(request)
        return Turn("<short> & sweet", usage=Usage(input_tokens=7, output_tokens=3))

    model = ScriptedModel(answer)
    other = Agent("other", model=model, instructions="Be brief.", model_settings={"t": 1})
    one, sim = talk(other if whole else model)
    with sim:
        one.append("1", "2", "3", "4", "5")
        one.ask("go")
        assert one.shown[0][0] == "<summary>&lt;short&gt; &amp; sweet</summary>"
        [condensed] = one.condensed
        assert condensed.usage == Usage(input_tokens=7, output_tokens=3)
        [request] = told
        assert [getattr(each, "text", "") for each in request.messages] == [
            "user: 1\nuser: 2\nuser: 3"
        ]
        assert (request.instructions == "Be brief.") is whole
        assert request.settings == ({"t": 1} if whole else {})


@pytest.mark.parametrize("how", ["cancel", "cancel_previous"])
@pytest.mark.parametrize("crash", [False, True], ids=["", "killed"])
@pytest.mark.parametrize("wait", [hangs, refuses_to_end])
def test_a_run_that_is_not_wanted_any_more_does_not_wait_for_its_summary(
    how: str, crash: bool, wait: Any
) -> None:
    calls: list[int] = []

    async def first_hangs(part: ToSummarize) -> str:
        calls.append(1)
        if len(calls) <= 1 + crash:
            await wait(part)
        return plain(part)

    one, sim = talk(first_hangs)
    with sim:
        one.append("1", "2", "3", "4", "5")
        one.start("go")
        sim.advance(1)
        if crash:
            sim.crash()
            sim.advance(1)
        if how == "cancel":
            assert sim.run(lambda rt: rt.cancel("go", "enough", by="me"))
        else:
            one.start("next", on_busy="cancel_previous")
        sim.advance(1)
        result = sim.run(lambda rt: rt.result("go"))
        assert result.status == "cancelled"
        if how == "cancel_previous":
            sim.run(lambda rt: rt.result("next"))
            assert one.shown[-1] == ["<summary>1 2 3 4</summary>", "5", "go", "next"]
        assert all(one.error is None for one in one.condensed)


def test_who_does_not_condense_sees_the_last_messages_as_before() -> None:
    shown: list[list[str]] = []
    agents = [
        agent(shown, History(max_messages=2, summarize=plain)),
        Agent("b", model=EchoModel(), history=History(max_messages=2)),
    ]
    with Simulation(agents) as sim:
        one = Talk(sim, shown)
        one.append("1", "2", "3")
        one.ask("go")
        assert len(one.condensed) == 1

        async def ask(rt: Runtime) -> None:
            await (await rt.start("b", "you", run_id="you", thread_id="t")).result()

        sim.run(ask)
        assert one.place("you").summary == 0
        assert len(one.condensed) == 1


def test_a_fork_takes_along_the_summary_that_there_was_by_then() -> None:
    one, sim = talk()
    with sim:
        one.append("1", "2", "3", "4", "5")
        one.ask("six")  # 1 to 3 are condensed for it
        early = sim.run(lambda rt: rt.threads.messages("t"))[4].version
        sim.run(lambda rt: rt.threads.fork("t", new_id="early", at=early))
        sim.run(lambda rt: rt.threads.fork("t", new_id="now"))
        sim.run(lambda rt: rt.threads.fork("now", new_id="again"))
        sim.crash()
        shown: dict[str, list[str]] = {}
        for thread in ("early", "now", "again"):

            async def ask(rt: Runtime, thread: str = thread) -> None:
                run = await rt.start("a", "go", run_id=f"on-{thread}", thread_id=thread)
                await run.result()

            sim.run(ask)
            shown[thread] = one.shown[-1]
        assert shown["early"] == ["<summary>1 2 3</summary>", "4", "5", "go"]  # of its own
        assert shown["now"] == ["<summary>1 2 3</summary>", "4", "5", "six", "answer 1", "go"]
        assert shown["again"] == shown["now"]
        # Nothing that was condensed before is condensed again: it costs the fork nothing.
        runs = {each: [one.run_id for one in condensed(sim, each)] for each in shown}
        assert runs == {"early": ["on-early"], "now": [""], "again": [""]}
        assert [each.usage for each in condensed(sim, "now")] == [Usage()]
        assert sim.run(lambda rt: rt.threads.get("now")).messages == 9


def condensed(sim: Simulation, thread_id: str) -> list[HistoryCondensed]:
    return [one for one in sim.thread_events(thread_id) if isinstance(one, HistoryCondensed)]


def test_a_long_thread_is_condensed_in_several_steps() -> None:
    sizes: list[int] = []

    def counts(part: ToSummarize) -> str:
        sizes.append(len(part.messages))
        return f"{part.summary}{len(sizes)}"

    one, sim = talk(counts)
    with sim:
        one.append(*(str(number) for number in range(MOST_AT_ONCE + 11)))
        one.ask("go")
        assert sizes == [MOST_AT_ONCE, 9]
        assert [one.messages for one in one.condensed] == sizes
        assert one.shown[0][0] == "<summary>12</summary>"


def test_a_model_that_condenses_is_told_of_images_and_files_that_there_were_some() -> None:
    inline = FilePart(media_type="text/csv", url="data:text/csv,a,b")
    files = UserMessage(text="", parts=(PDF, NAMED, inline))
    part = ToSummarize(
        thread_id="t",
        resource_id="u",
        agent_id="a",
        run_id="r",
        summary="before",
        messages=(LARGE, files, CALLS, ANSWERS),
    )
    assert told(part).splitlines() == [
        "<summary>",
        "before",
        "</summary>",
        "",
        "user: look [image/png]",
        "user: [application/pdf https://a/b.pdf] [application/pdf bill.pdf] [text/csv]",
        "assistant: [calls f({})]",
        "tool f: 1",
    ]


def since(*messages: Any, text: str = "") -> SinceSummary:
    said = [Said(number, message) for number, message in enumerate(messages, 1)]
    return SinceSummary(99 if text else 0, text, said, {})


@pytest.mark.parametrize(
    ("bounds", "messages", "text", "count"),
    [
        ({"max_messages": 4}, [USER] * 4, "", 0),
        ({"max_messages": 4}, [USER] * 5, "", 3),
        ({"max_messages": 5}, [USER] * 6, "", 4),
        ({"max_messages": 0}, [USER], "", 1),
        ({"max_messages": 4}, [USER, USER, CALLS, ANSWERS, USER], "", 4),  # with its answer
        ({"max_messages": None, "max_tokens": 1_000}, [LONG] * 8, "", 0),
        ({"max_messages": None, "max_tokens": 1_000}, [LONG] * 9, "", 5),
        ({"max_messages": None, "max_tokens": 1_000}, [LONG] * 8, "x" * 800, 4),
        ({"max_messages": None, "max_tokens": 1_000}, [LONG] * 4, "x" * 3_000, 3),  # one fits
        ({"max_messages": None, "max_tokens": 1_000}, [], "x" * 8_000, 0),
        ({"max_messages": None, "max_tokens": 3_000}, [LARGE, USER], "", 0),
        ({"max_messages": None, "max_tokens": 3_000}, [LARGE] * 3, "", 2),
        ({"max_messages": None, "max_tokens": 100}, [LONG], "", 1),
    ],
)
def test_what_falls_out(bounds: Any, messages: list[Any], text: str, count: int) -> None:
    history = History(**bounds, summarize=plain)
    assert len(falls_out(history, since(*messages, text=text))) == count


def test_a_summary_counts_among_the_tokens_that_are_seen() -> None:
    def long(_: ToSummarize) -> str:
        return "s" * 400

    one, sim = talk(long, max_messages=None, max_tokens=300)
    with sim:
        one.append(*("x" * 100 for _ in range(12)))
        one.ask("go")
        shown = one.shown[0]
        assert shown[0].startswith("<summary>s")
        assert sum(len(text) for text in shown) <= 300 * 4


def test_a_summary_has_half_of_the_tokens_at_most() -> None:
    rooms: list[int | None] = []

    def endless(part: ToSummarize) -> str:
        rooms.append(part.max_tokens)
        return "s" * (4 * 150 if len(rooms) == 1 else 4 * 120)

    one, sim = talk(endless, max_messages=None, max_tokens=300)
    with sim:
        one.append(*("x" * 100 for _ in range(12)))
        one.ask("go")
        [failed] = one.condensed
        assert failed.error is not None
        assert re.search(r"the summary has 1\d\d tokens, of 150 at most", failed.error.message)
        assert sum(len(text) for text in one.shown[0]) <= 300 * 4
        one.ask("again")
        assert one.condensed[1].error is None
        assert rooms == [150, 150]


def test_a_model_is_told_how_long_a_summary_may_be() -> None:
    told: list[str] = []

    def answer(request: ModelRequest) -> Turn:
        told.append(request.instructions)
        return Turn("short")

    other = Agent("other", model=ScriptedModel(answer), instructions="Be brief.")
    for bounds in ({"max_messages": 4}, {"max_messages": None, "max_tokens": 2_000}):
        one, sim = talk(other, **bounds)
        with sim:
            one.append(*("x" * 1_000 for _ in range(10)))
            one.ask("go")
    assert told == ["Be brief.", "Be brief.\n\nUse 2,000 characters at most."]


def test_what_cannot_condense_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="no room for a summary"):
        History(max_tokens=99, summarize=plain)
    unclear = Agent("x", model=EchoModel(), instructions=lambda _: "made")
    for wrong in (5, "openai/gpt", unclear):
        with pytest.raises(InvalidDefinition, match="summarize"):
            History(summarize=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidDefinition, match="summarize: without a bound"):
        History(max_messages=None, summarize=plain)
