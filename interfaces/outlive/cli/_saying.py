"""What a person says from a terminal: through the inbox, to the process that owns the log."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from outlive.actors import Runtime
from outlive.cli._exit import OK, Wrong, complain
from outlive.cli._json import print_json
from outlive.cli._text import printable
from outlive.events import UnserialisableValue

WAITS: Final = "no process that owns the log has taken it up: it waits until an owner is up"


def say(
    data: Path,
    say: Callable[[Runtime], Awaitable[bool]],
    done: str,
    facts: dict[str, object],
    *,
    json: bool,
) -> int:
    """Have the owner obey, and print that it is `done`; or that it waits until there is an owner.

    Raises what `say` raises, Wrong.
    """

    async def visit() -> bool:
        async with Runtime(data, role="visitor") as rt:
            return await say(rt)

    try:
        durable = asyncio.run(visit())
    except UnserialisableValue as error:
        raise Wrong(str(error)) from None
    if json:
        print_json({**facts, "submitted": not durable})
    else:
        print(printable(done if durable else f"submitted; {done}"))
    if not durable:
        complain(WAITS)
    return OK


def value_of(text: str) -> object:
    """Return the value that a text stands for: what it is as JSON, or else the text itself.

    Raises:
        Wrong: it begins as JSON does, but is none. Nobody's slip is taken for an answer.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise Wrong(f"this is no JSON: {error}; --text takes it as text") from None
        return text


def name_of(by: str | None) -> str:
    """Return who it is that says so: the user's login name unless another is given."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""  # A container's user may have no name.
