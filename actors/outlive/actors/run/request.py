"""What a run is started with, made plain and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from outlive.actors.until_idle import UntilIdle, idle_policy
from outlive.events import RunWish, Value, to_plain
from outlive.events.run.parts import Input, text_and_parts
from outlive.events.sizes import check_size


def run_wish(
    agent_id: str,
    input: Input,
    *,
    metadata: Mapping[str, object] | None,
    request_context: Mapping[str, object] | None,
    provider_options: Mapping[str, object] | None,
    until_idle: bool | UntilIdle = False,
) -> RunWish:
    """Return what a run is to be started with.

    Raises:
        TypeError, ValueError: the input, or one of the mappings, is none.
        UnserialisableValue, EventTooLarge: it cannot be stored.
    """
    text, parts = text_and_parts(input)
    wish = RunWish(
        agent_id=agent_id,
        input=text,
        metadata=_mapping("metadata", metadata),
        request_context=_mapping("request_context", request_context),
        provider_options=_mapping("provider_options", provider_options),
        parts=parts,
        until_idle=idle_policy(until_idle),
    )
    check_size(wish)
    return wish


def _mapping(name: str, given: Mapping[str, object] | None) -> dict[str, Value]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the {name} of a run is a mapping, not {type(given).__name__}")
    return cast("dict[str, Value]", to_plain(dict(given))) if given else {}
