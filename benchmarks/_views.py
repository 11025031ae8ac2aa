"""The views of a runtime are built beside its work: that is no part of what is measured."""

from __future__ import annotations

from contextlib import suppress

from outlive.actors import Runtime
from outlive.events import ViewBehind


async def all_built(runtime: Runtime) -> None:
    """Wait until all views have taken in what is in the log, as after its first opening."""
    lists = (
        runtime.runs.list,
        runtime.tasks.list,
        runtime.threads.list,
        runtime.heartbeats.list,
    )
    for look_at in lists:
        while True:
            with suppress(ViewBehind):
                await look_at(limit=1)
                break
