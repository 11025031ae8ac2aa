"""What a run is started with, made plain and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from outlive.actors.run.submitted import StartRequest
from outlive.actors.until_idle import UntilIdle, idle_policy
from outlive.events import FilePart, ImagePart, TextPart, Value, to_plain
from outlive.events.run.parts import InputPart
from outlive.events.sizes import check_size

Input: TypeAlias = str | Sequence[InputPart]


def start_request(
    agent_id: str,
    input: Input,
    *,
    metadata: Mapping[str, object] | None,
    request_context: Mapping[str, object] | None,
    provider_options: Mapping[str, object] | None,
    until_idle: bool | UntilIdle = False,
) -> StartRequest:
    """Return a request to start a run.

    Raises:
        TypeError, ValueError: the input, or one of the mappings, is none.
        UnserialisableValue, EventTooLarge: it cannot be stored.
    """
    text, parts = _text_and_parts(input)
    request = StartRequest(
        agent_id=agent_id,
        input=text,
        metadata=_mapping("metadata", metadata),
        request_context=_mapping("request_context", request_context),
        provider_options=_mapping("provider_options", provider_options),
        parts=parts,
        until_idle=idle_policy(until_idle),
    )
    check_size(request)
    return request


def _mapping(name: str, given: Mapping[str, object] | None) -> dict[str, Value]:
    if not isinstance(given, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the {name} of a run is a mapping, not {type(given).__name__}")
    return cast("dict[str, Value]", to_plain(dict(given))) if given else {}


def _text_and_parts(input: Input) -> tuple[str, tuple[InputPart, ...]]:
    """Return the input's text, as lists show it, and its parts if it is more than that."""
    if isinstance(input, str):
        to_plain(input)
        return input, ()
    if not isinstance(input, list | tuple):
        raise TypeError(
            f"the input of a run is text, or a list of parts, not {type(input).__name__}"
        )
    parts = tuple(input)
    if not parts:
        raise ValueError("the input of a run is a list of parts that is not empty")
    for part in parts:
        _check(part)
    return "\n".join(part.text for part in parts if isinstance(part, TextPart)), parts


def _check(part: InputPart) -> None:
    match part:
        case TextPart(text=str()):
            to_plain(part.text)
        case ImagePart(media_type=str(), data=bytes(), url=str()):
            _check_source(part)
        case FilePart(media_type=str(), data=bytes(), url=str(), name=str()):
            _check_source(part)
            to_plain(part.name)
        case _:
            raise TypeError(f"a part is a TextPart, an ImagePart or a FilePart, not {part!r:.80}")


def _check_source(part: ImagePart | FilePart) -> None:
    to_plain([part.media_type, part.url])
    kind, _, detail = part.media_type.partition("/")
    if not kind or not detail:
        raise ValueError(f"a media type is as 'image/png', not {part.media_type!r:.80}")
    if bool(part.data) == bool(part.url):
        raise ValueError("a part has either its data or a url")
