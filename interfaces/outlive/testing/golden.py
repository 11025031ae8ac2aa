"""Golden logs: what one release wrote, kept as a file, and what it has to come to for ever.

A golden file holds the records of a log and, of each stream, the state that they folded into,
with its hash. Every later version has to read the records and come to the same state. A file is
written once and never changed; a new release adds one.

A state may have grown since: a field that the file does not know has to be at its default then.
Everything that the file does know has to be there and the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from outlive.actors.entity import Entity
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.run.entity import RUN
from outlive.actors.task.entity import TASK
from outlive.actors.thread.entity import THREAD
from outlive.events import (
    CODEC,
    Codec,
    LmdbReader,
    LogReader,
    OutliveError,
    Position,
    Record,
    StreamId,
)
from outlive.events.ids import kind_of
from outlive.events.values import digest
from outlive.testing._plain import differences, plain

__all__ = ["check_golden", "golden_of", "write_golden"]

Entities: TypeAlias = Mapping[str, Entity[Any, Any, Any]]

ENTITIES: Final[Entities] = {
    "run": RUN,
    "task": TASK,
    "thread": THREAD,
    "heartbeat": HEARTBEAT,
}
_FORMAT: Final = 1
_PAGE: Final = 1_000


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    stream: StreamId
    first_version: int
    recorded_at_ns: int
    epoch: int
    commit_id: str
    cause: int | str | None
    correlation_id: str | None
    hash: str
    events: list[str]  # their tags, for who reads the file
    payload: str


class _Stream(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    hash: str
    state: dict[str, Any]


class _Golden(msgspec.Struct, frozen=True, kw_only=True):
    golden: int
    release: str
    schema: int
    log_id: str
    records: list[_Record]
    streams: dict[StreamId, _Stream]


def golden_of(
    log: LogReader | str | PathLike[str],
    *,
    entities: Entities = ENTITIES,
    codec: Codec = CODEC,
) -> str:
    """Return the text of a log's golden file: the same text for the same log.

    Args:
        log: a log, or the folder of one.
        entities: for each kind of stream what its events fold into.
        codec: the catalogue that the events are in.

    Raises:
        LookupError: a stream of a kind that is not among the entities.
        LogError: the log cannot be read.
    """
    if isinstance(log, str | PathLike):
        reader = LmdbReader(log, codec=codec)
        try:
            return golden_of(reader, entities=entities, codec=codec)
        finally:
            reader.close()
    records = _records_of(log)
    streams: dict[StreamId, _Stream] = {}
    for stream, state in _folded(records, entities).items():
        said = plain(state)
        streams[stream] = _Stream(version=log.version(stream), hash=_hash(said), state=said)
    golden = _Golden(
        golden=_FORMAT,
        release=version("outlive"),
        schema=codec.schema,
        log_id=log.log_id,
        records=[_written(record, codec) for record in records],
        streams=streams,
    )
    return json.dumps(msgspec.to_builtins(golden), indent=1, ensure_ascii=False) + "\n"


def write_golden(
    log: LogReader | str | PathLike[str],
    file: str | PathLike[str],
    *,
    entities: Entities = ENTITIES,
    codec: Codec = CODEC,
) -> None:
    """Write the golden file of a log. See `golden_of`.

    Raises:
        FileExistsError: the file is there already. It stays what it is.
    """
    text = golden_of(log, entities=entities, codec=codec)
    with Path(file).open("x", encoding="utf-8") as out:
        out.write(text)


def check_golden(
    file: str | PathLike[str], *, entities: Entities = ENTITIES, codec: Codec = CODEC
) -> None:
    """Read the records of a golden file and hold the states they come to against the file's.

    Raises:
        AssertionError: a record cannot be read any more, or a stream comes to another state;
            the message says where they differ. Or the file is none, or was changed by hand.
    """
    __tracebackhide__ = True
    path = Path(file)
    golden = _read(path)
    records: list[Record] = []
    for stored in golden.records:
        where = f"{path.name}, position {stored.position}"
        try:
            records.append(_decoded(stored, golden.schema, codec, where))
        except (OutliveError, ValueError) as error:
            raise AssertionError(f"{where}, cannot be read any more: {error}") from error
    try:
        states = _folded(records, entities)
    except OutliveError as error:
        raise AssertionError(f"{path.name} cannot be folded any more: {error}") from error
    if states.keys() != golden.streams.keys():
        raise AssertionError(f"{path.name} was edited: it lacks streams, or has too many")
    for stream, expected in golden.streams.items():
        actual = plain(states[stream], like=expected.state)
        if _hash(actual) != expected.hash:
            lines = "\n".join(differences(expected.state, actual))
            raise AssertionError(
                f"{path.name}, written by release {golden.release}: {stream} comes to another "
                f"state now (- then, + now):\n{lines}"
            )


def _read(path: Path) -> _Golden:
    try:
        golden = msgspec.json.decode(path.read_bytes(), type=_Golden)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AssertionError(f"{path.name} is no golden file: {error}") from error
    if golden.golden != _FORMAT:
        raise AssertionError(f"{path.name} is a golden file of form {golden.golden}, not {_FORMAT}")
    for stream, kept in golden.streams.items():
        if _hash(kept.state) != kept.hash:
            raise AssertionError(f"{path.name} was edited: the state of {stream}")
    return golden


def _records_of(log: LogReader) -> list[Record]:
    records: list[Record] = []
    after = Position(0)
    while page := log.read_all(after=after, limit=_PAGE):
        records += page
        after = page[-1].position
    return records


def _folded(records: list[Record], entities: Entities) -> dict[StreamId, object]:
    """Return the state of each stream, in the order in which the streams began."""
    states: dict[StreamId, object] = {}
    for record in records:
        kind = kind_of(record.stream)
        if kind not in entities:
            raise LookupError(f"{record.stream} is of kind {kind!r}: hand its entity in")
        entity = entities[kind]
        state = states.get(record.stream, entity.initial)
        for event in record.events:
            state = entity.evolve(state, event)
        states[record.stream] = state
    return states


def _written(record: Record, codec: Codec) -> _Record:
    return _Record(
        position=record.position,
        stream=record.stream,
        first_version=record.first_version,
        recorded_at_ns=record.recorded_at_ns,
        epoch=record.epoch,
        commit_id=record.commit_id.hex(),
        cause=record.cause,
        correlation_id=record.correlation_id,
        hash=record.hash.hex(),
        events=[str(type(event).__struct_config__.tag) for event in record.events],
        payload=codec.encode(record.events).hex(),
    )


def _decoded(stored: _Record, schema: int, codec: Codec, where: str) -> Record:
    values = msgspec.structs.asdict(stored)
    payload = bytes.fromhex(values.pop("payload"))
    values["events"] = codec.decode(payload, schema=schema, where=where)
    values["commit_id"] = bytes.fromhex(stored.commit_id)
    values["hash"] = bytes.fromhex(stored.hash)
    return Record(**values)


def _hash(said: dict[str, Any]) -> str:
    return digest(msgspec.json.encode(said))
