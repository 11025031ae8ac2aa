"""Golden files: what is written, and which changes of the code they catch."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from outlive.events import Codec, Event, LmdbLog, MemoryLog, StreamId, Version
from outlive.testing.golden import check_golden, golden_of, write_golden
from outlive.testing.log_contract.filling import Ticks
from tests.testing.till import TILL, TILL_CODEC, CoinAdded, CoinTaken, Till, TillEntity

ONE = StreamId("till-one")
MINE: Any = {"entities": {"till": TILL}, "codec": TILL_CODEC}


def fill(log: MemoryLog | LmdbLog) -> None:
    commits: list[list[Event]] = [
        [CoinAdded(cents=5), CoinAdded(cents=1)],
        [CoinTaken(cents=5)],
        [CoinAdded(cents=2)],
    ]
    for number, events in enumerate(commits):
        log.append(
            ONE,
            events,
            expected_version=log.version(ONE),
            commit_id=number.to_bytes(16, "big"),
            cause=f"message {number}",
        ).result(5)


def tills() -> MemoryLog:
    log = MemoryLog(clock=Ticks(), codec=TILL_CODEC, log_id="golden")
    fill(log)
    return log


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tills.json"
    write_golden(tills(), path, **MINE)
    return path


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def wrong(file: Path, **how: Any) -> str:
    with pytest.raises(AssertionError) as failed:
        check_golden(file, **(MINE | how))
    return str(failed.value)


def test_the_present_version_comes_to_the_same(file: Path) -> None:
    check_golden(file, **MINE)


def test_the_same_log_gives_the_same_text(file: Path) -> None:
    assert file.read_text() == golden_of(tills(), **MINE)
    found = json.loads(file.read_text())
    assert found["streams"][ONE]["version"] == 4
    assert found["streams"][ONE]["state"] == {"coins": [1, 2]}
    assert [record["events"] for record in found["records"]] == [
        ["coin-added", "coin-added"],
        ["coin-taken"],
        ["coin-added"],
    ]


def test_a_folder_gives_the_same_text_as_a_log_in_memory(tmp_path: Path, file: Path) -> None:
    log = LmdbLog(tmp_path / "log", clock=Ticks(), codec=TILL_CODEC, log_id="golden")
    fill(log)
    log.close()
    in_folder = json.loads(golden_of(tmp_path / "log", **MINE))
    in_memory = json.loads(file.read_text())
    for found in (in_folder, in_memory):
        for record in found["records"]:
            del record["recorded_at_ns"], record["hash"]  # the clock is asked another time or two
    assert in_folder == in_memory


def test_a_file_that_is_there_stays_what_it_is(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(FileExistsError):
        write_golden(MemoryLog(), file, **MINE)
    assert file.read_text() == before


def test_a_stream_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="till-one is of kind 'till'"):
        golden_of(tills())


# What a later version may change, and what not


class Grown(Struct, frozen=True):
    """A till that has got two more fields since."""

    coins: tuple[int, ...] = ()
    colour: str = "grey"
    notes: tuple[str, ...] = ()


class GrownEntity(TillEntity):
    def __init__(self, colour: str) -> None:
        self._colour = colour

    @property
    def initial(self) -> Any:
        return Grown(colour=self._colour)


def test_a_new_field_at_its_default_is_fine(file: Path) -> None:
    entities = {"till": GrownEntity("grey")}
    check_golden(file, entities=entities, codec=TILL_CODEC)


def test_a_new_field_that_old_events_have_set_is_told(file: Path) -> None:
    said = wrong(file, entities={"till": GrownEntity("red")})
    by = f"tills.json, written by release {version('outlive')}: till-one comes to another state"
    assert said.splitlines()[0].startswith(by)
    assert said.splitlines()[1:] == ["  + colour: 'red'"]


class Drawer(Struct, frozen=True):
    pieces: tuple[int, ...] = ()


class DrawerEntity(TillEntity):
    @property
    def initial(self) -> Any:
        return Drawer()

    def evolve(self, state: Any, event: Event) -> Any:
        return Drawer(pieces=super().evolve(Till(state.pieces), event).coins)


def test_a_field_that_was_renamed_is_told(file: Path) -> None:
    said = wrong(file, entities={"till": DrawerEntity()})
    assert said.splitlines()[1:] == ["  - coins: [1, 2]", "  + pieces: [1, 2]"]


class GenerousEntity(TillEntity):
    def evolve(self, state: Till, event: Event) -> Till:
        after = super().evolve(state, event)
        return replace(after, coins=(*after.coins, 7)) if isinstance(event, CoinTaken) else after


def test_an_evolve_that_comes_to_something_else_is_told(file: Path) -> None:
    said = wrong(file, entities={"till": GenerousEntity()})
    assert said.splitlines()[1:] == ["  - coins: [1, 2]", "  + coins: [1, 7, 2]"]


class CoinAddedAnew(Event, tag="coin-added", frozen=True, kw_only=True):
    euros: int


@pytest.mark.parametrize(
    ("codec", "what"),
    [(Codec([CoinAdded]), "coin-taken"), (Codec([CoinAddedAnew, CoinTaken]), "euros")],
)
def test_an_event_that_cannot_be_read_any_more_is_told(file: Path, codec: Codec, what: str) -> None:
    said = wrong(file, codec=codec)
    assert "cannot be read any more" in said
    assert what in said


# Files that are none


def test_a_file_that_was_edited_is_told(file: Path) -> None:
    streams = json.loads(file.read_text())["streams"]
    streams[ONE]["state"]["coins"] = [9]
    edit(file, streams=streams)
    assert "was edited: the state of till-one" in wrong(file)
    edit(file, streams={})
    assert "was edited: it lacks streams" in wrong(file)


def test_a_file_of_another_form_is_told(file: Path) -> None:
    edit(file, golden=2)
    assert "of form 2" in wrong(file)
    file.write_text("{}")
    assert "is no golden file" in wrong(file)


def test_a_state_in_plain_words_keeps_what_matters() -> None:
    from outlive.testing._plain import differences, plain

    class Inner(Struct, tag="inner", frozen=True):
        data: bytes = b""

    class Outer(Struct, frozen=True):
        by_number: dict[int, Inner]
        chosen: frozenset[str] = frozenset()

    one = plain(Outer({2: Inner(b"x"), 1: Inner()}, frozenset("cab")))
    assert one == {
        "by_number": {"2": {"type": "inner", "data": "eA=="}, "1": {"type": "inner", "data": ""}},
        "chosen": ["a", "b", "c"],
    }
    other = plain(Outer({1: Inner(), 2: Inner(b"x")}, frozenset("abc")))
    assert list(differences(one, other)) == [
        "  - order of by_number: ['2', '1']",
        "  + order of by_number: ['1', '2']",
    ]
    with pytest.raises(TypeError, match="a state is a Struct"):
        plain(Version(1))
