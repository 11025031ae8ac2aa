"""People who speak to runs while processes are killed: what they say, and what they are told.

It is written down when it was answered, and when it was sent off:

    ("said", run, since, until, request, command id)
    ("refused", run, since, until, request, error)

`since` and `until` are versions of the run. The command id is that of a command which waits in
the inbox; empty, it was carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from outlive.actors import Runtime
from outlive.actors.run.submission import Submission
from outlive.actors.run.submitted import Request, RunRequest, decode_request, encode_request
from outlive.actors.steering import Steering
from outlive.events import LogReader, NotFound, Refused, StreamId, run_stream
from outlive.events.ids import id_of
from outlive.projections import Pending
from outlive.testing._said import Said, told
from outlive.testing.kills._account import Line
from outlive.testing.kills._plan import People

_REMEMBERED: Final = 20


class Noted(Steering):
    """A runtime as people have it. All that they say goes through here."""

    def __init__(self, runtime: Runtime, note: Callable[..., None]) -> None:
        self._runtime = runtime
        self._note = note

    async def _obey(self, stream: StreamId, request: Request) -> Submission | None:
        if not isinstance(request, RunRequest):
            # A release is decided upon the run's row. That is not kept, to hold it against.
            return await self._runtime._obey(stream, request)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        run_id, data = id_of(stream), encode_request(request).hex()
        since = self._runtime.log.version(stream)
        try:
            submission = await self._runtime._obey(stream, request)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        except (Refused, NotFound) as error:
            until = self._runtime.log.version(stream)
            self._note("refused", run_id, since, until, data, told(error))
            raise
        until = self._runtime.log.version(stream)
        command_id = "" if submission is None else submission.command_id
        self._note("said", run_id, since, until, data, command_id)
        return submission


def open_of(log: LogReader, kind: str) -> list[str]:
    """Return the ids of the entities of a kind that are open."""
    return [id_of(stream) for stream, entry in log.open_entries() if entry.kind == kind]


class Person:
    """Speaks to one run after the other."""

    def __init__(
        self, people: People, runtime: Runtime, rng: Random, note: Callable[..., None]
    ) -> None:
        self._people = people
        self._runtime = runtime
        self._noted = Noted(runtime, note)
        self._rng = rng
        self._known: dict[str, None] = {}

    async def look(self) -> None:
        """Look at what is open, and speak to one run: to one that is over as well."""
        open_runs = open_of(self._runtime.log, "run")
        runs = list({**self._known, **dict.fromkeys(open_runs)})
        if not runs:
            return
        waiting = await self.asked()
        run_id = self._rng.choice([*runs, *(each.run_id for each in waiting)])
        self._known[run_id] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        await self.speak_to(run_id, waiting)

    async def asked(self) -> list[Pending]:
        """Return what people are waited for by runs."""
        pending = await self._runtime.runs.pending(limit=1_000)
        return [each for each in pending if not each.task_id]

    async def speak_to(self, run_id: str, waiting: list[Pending]) -> None:
        """Say something to a run. `waiting` is what people are waited for, in all runs."""
        mine = [each for each in waiting if each.run_id == run_id]
        try:
            await self._people(self._noted, run_id, mine, self._rng)
        except (Refused, NotFound):
            return  # It was noted: whether that is right is seen in the end.


def said_in(line: Line) -> tuple[Said, str] | None:
    """Return what was said, and the id of the command if it waits; None for other lines."""
    match line:
        case ("said", str(run_id), int(since), int(until), str(data), str(command_id)):
            stream, last = run_stream(run_id), None if command_id else until
            said = Said(stream=stream, request=_request(data), since=since, until=last)
            return said, command_id
        case ("refused", str(run_id), int(since), int(until), str(data), str(error)):
            stream, request = run_stream(run_id), _request(data)
            return Said(stream=stream, request=request, since=since, until=until, refusal=error), ""
        case _:
            return None


def _request(data: str) -> RunRequest:
    request = decode_request(bytes.fromhex(data))
    assert isinstance(request, RunRequest), "people speak to runs"
    return request
