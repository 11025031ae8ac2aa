"""Runs that are asked more than text: images and files, by their bytes or by where they are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    FilePart,
    ImagePart,
    ModelRequest,
    Runtime,
    ScriptedModel,
    TextPart,
    Turn,
)
from outlive.events import EventTooLarge, RunExists, RunStarted, UnserialisableValue
from outlive.events.sizes import MAX_INLINE_BYTES
from outlive.projections import UserMessage
from tests.support import Machine

IMAGE: Final = ImagePart(media_type="image/png", data=bytes(range(256)) * 1_000)
FILE: Final = FilePart(media_type="application/pdf", url="https://example.org/a.pdf", name="a.pdf")
PARTS: Final[list[TextPart | ImagePart | FilePart]] = [
    TextPart("Compare"),
    IMAGE,
    TextPart("with"),
    FILE,
]


def seeing(asked: list[ModelRequest]) -> Agent:
    def answer(request: ModelRequest) -> Turn:
        asked.append(request)
        return Turn("I see", delay=0.1)

    return Agent("a", model=ScriptedModel(answer))


def test_the_model_is_given_the_parts_and_the_log_holds_them() -> None:
    asked: list[ModelRequest] = []
    machine = Machine()
    result = machine.run(lambda rt: rt.run("a", PARTS, run_id="r1"), seeing(asked))
    message = UserMessage(text="Compare\nwith", parts=tuple(PARTS))
    assert asked[0].messages == (message,)
    assert result.messages[0] == message
    started = machine.events("r1")[0]
    assert isinstance(started, RunStarted)
    assert (started.input, started.parts) == ("Compare\nwith", tuple(PARTS))


def test_plain_text_has_no_parts() -> None:
    machine = Machine()
    result = machine.run(lambda rt: rt.run("a", "hi"), Agent("a", model=EchoModel()))
    assert result.messages[0] == UserMessage(text="hi")


def test_parts_may_be_all_that_is_asked() -> None:
    asked: list[ModelRequest] = []
    Machine().run(lambda rt: rt.run("a", [IMAGE]), seeing(asked))
    assert asked[0].messages == (UserMessage(text="", parts=(IMAGE,)),)


def test_they_outlive_a_process_and_what_is_long_is_kept_apart(tmp_path: Path) -> None:
    assert len(IMAGE.data) > MAX_INLINE_BYTES
    asked: list[ModelRequest] = []

    async def start() -> None:
        async with Runtime(tmp_path, agents=[seeing(asked)]) as rt:
            await rt.start("a", PARTS, run_id="r1")

    async def go_on() -> None:
        async with Runtime(tmp_path, agents=[seeing(asked)]) as rt:
            assert (await rt.result("r1")).unwrap() == "I see"
            assert (await rt.runs.get("r1")).input == "Compare\nwith"
            (page,) = [rt.log.read_all()[0]]
            assert page.events[0].parts[1] == IMAGE  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    asyncio.run(start())
    asyncio.run(go_on())
    assert asked[-1].messages == (UserMessage(text="Compare\nwith", parts=tuple(PARTS)),)


def test_a_visitor_hands_them_to_the_owner(tmp_path: Path) -> None:
    asked: list[ModelRequest] = []

    async def found() -> None:
        async with Runtime(tmp_path, role="owner"):
            pass

    async def submit() -> None:
        async with Runtime(tmp_path, role="visitor") as rt:
            run = await rt.start("a", PARTS, run_id="r1", request_context={"k": 1})
            assert run.submitted

    async def own() -> None:
        async with Runtime(tmp_path, agents=[seeing(asked)], role="owner") as rt:
            assert (await rt.result("r1")).unwrap() == "I see"

    async def submit_another() -> None:
        async with Runtime(tmp_path, role="visitor") as rt:
            with pytest.raises(RunExists):
                await rt.start("a", PARTS, run_id="r1", request_context={"k": 2})
            await rt.start("a", PARTS, run_id="r1", request_context={"k": 1})

    for process in (found, submit, own, submit_another):
        asyncio.run(process())
    assert asked[0].messages == (UserMessage(text="Compare\nwith", parts=tuple(PARTS)),)


def test_a_start_with_other_parts_is_another_start() -> None:
    async def body(rt: Runtime) -> None:
        await rt.start("a", PARTS, run_id="r1")
        await rt.start("a", tuple(PARTS), run_id="r1")
        for other in ("Compare\nwith", PARTS[:3], [*PARTS[2:], *PARTS[:2]]):
            with pytest.raises(RunExists):
                await rt.start("a", other, run_id="r1")

    Machine().run(body, Agent("a", model=EchoModel()))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ([], ValueError),
        (b"hi", TypeError),
        ({"text": "hi"}, TypeError),
        (["hi"], TypeError),
        ([TextPart(3)], TypeError),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ([TextPart("\ud800")], UnserialisableValue),
        ([ImagePart(media_type="image/png")], ValueError),
        ([ImagePart(media_type="image/png", data=b"x", url="y")], ValueError),
        ([ImagePart(media_type="png", data=b"x")], ValueError),
        ([FilePart(media_type="a/b", data="x")], TypeError),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ([FilePart(media_type="a/b", data=bytes(64 << 20))], EventTooLarge),
    ],
)
def test_what_is_no_input_is_refused_before_anything_is_written(
    wrong: Any, error: type[Exception]
) -> None:
    async def body(rt: Runtime) -> None:
        with pytest.raises(error):
            await rt.start("a", wrong)
        assert rt.log.read_all() == []

    Machine().run(body, Agent("a", model=EchoModel()))
