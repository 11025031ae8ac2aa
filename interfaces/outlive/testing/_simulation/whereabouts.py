"""Where tasks are that wait: what is said when a simulation does not come to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from types import FrameType
from typing import Any, Final

_MOST: Final = 5


def whereabouts(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return lines that say where tasks are in the code of users; empty if none is there."""
    found = sorted({place for task in tasks if (place := _place(task))})
    lines = [f"    {place}" for place in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"    and {len(found) - _MOST} more")
    return "".join(f"\n{line}" for line in lines)


def _place(task: asyncio.Task[Any]) -> str:
    """Return the innermost line of a task that is neither ours nor asyncio's."""
    place = ""
    awaited: object = task.get_coro()
    while awaited is not None:
        frame: FrameType | None = getattr(awaited, "cr_frame", getattr(awaited, "ag_frame", None))
        if frame is not None and not _is_library(frame):
            code = frame.f_code
            place = f"{os.path.relpath(code.co_filename)}:{frame.f_lineno} in {code.co_qualname}"
        awaited = getattr(awaited, "cr_await", getattr(awaited, "ag_await", None))
    return place


def _is_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("asyncio", "outlive")
