"""The question that the demo's run asks: read from its log, and answered by whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from outlive.actors import Runtime
from outlive.cli._demo.asking import Said
from outlive.cli._demo.moments import Asked
from outlive.cli._pending_text import commands_for
from outlive.cli._saying import name_of
from outlive.events import Refused
from outlive.projections import Pending, pending_of, read_run


class Question:
    """May the brief be published? Asked at this terminal, if `consent` is given, and anywhere else.

    `told` is the question as the log had it when it was put last.
    """

    def __init__(
        self,
        run_id: str,
        data: Path,
        *,
        consent: Callable[[], Awaitable[Said | None]] | None,
    ) -> None:
        self._run_id = run_id
        self._data = data
        self._consent = consent
        self._asking: asyncio.Task[None] | None = None
        self.told: Asked | None = None
        self.is_open = False

    def put(self, rt: Runtime, tell: Callable[[Asked], None], *, at_ms: int) -> None:
        """Ask what the run waits for; nothing if it is answered by now."""
        for item in pending_of(self._run_id, read_run(rt.log, self._run_id)):
            self.is_open = True
            self.told = Asked(
                at_ms=at_ms,
                run_id=item.run_id,
                call_id=item.call_id,
                tool=item.tool,
                arguments=item.arguments,
                digest=item.digest,
                commands=tuple(commands_for(item, self._data)),
                here=self._consent is not None,
            )
            tell(self.told)
            if self._consent is not None:
                self._asking = asyncio.create_task(self._ask(rt, item, self._consent))

    def withdraw(self) -> None:
        """It is answered, or nobody is left who waits for the answer. Twice is once."""
        self.is_open = False
        if self._asking is not None:
            self._asking.cancel()

    @property
    def asking(self) -> set[asyncio.Task[None]]:
        """The task that asks at this terminal, while it does."""
        return set() if self._asking is None else {self._asking}

    def look(self) -> None:
        """Raise what went wrong while it was asked, if that is over."""
        if self._asking is not None and self._asking.done():
            asked, self._asking = self._asking, None
            if not asked.cancelled():
                asked.result()

    async def _ask(
        self, rt: Runtime, item: Pending, consent: Callable[[], Awaitable[Said | None]]
    ) -> None:
        said = await consent()
        if said is None:
            return
        name = name_of(None)
        with suppress(Refused):  # Somebody else was faster: the log tells what holds.
            if said.granted:
                await rt.approve(
                    item.run_id, item.call_id, digest=item.digest, note=said.note, by=name
                )
            else:
                await rt.decline(item.run_id, item.call_id, reason=said.note, by=name)
