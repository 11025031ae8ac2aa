"""What people have said to runs, held against the log.

A command is decided upon one version of its run: not before the one that was there when it was
said, nor after the one that was there when it was answered. `decide` is pure, so what it says
to each of these versions tells what may have come of the command: the events that follow in the
log, nothing because it was a repeat, or the refusal that its sender was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from outlive.actors import Agent
from outlive.actors.run.carrying_out import command_for
from outlive.actors.run.decide import decide
from outlive.actors.run.submitted import RunRequest
from outlive.events import (
    Event,
    NotFound,
    OutliveError,
    Refused,
    RunEvent,
    RunNotFound,
    RunState,
)
from outlive.events.run import evolve

_NOBODY: Final[Mapping[str, Agent]] = {}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a person has said to a run, and was told."""

    run_id: str
    request: RunRequest
    since: int  # the version of the run when it was said
    until: int | None = None  # and when it was answered; None: any later one
    refusal: str = ""  # empty: it was obeyed

    def __str__(self) -> str:
        """Say what was said, and when."""
        until = "the end" if self.until is None else f"version {self.until}"
        return f"{self.request} was said at version {self.since}, and by {until}"


def told(error: OutliveError) -> str:
    """Return a refusal as it is compared."""
    return f"{type(error).__name__}: {error}"


def name_of(refusal: str) -> str:
    """Return the name of the error."""
    return refusal.partition(":")[0]


class Hearing:
    """A run's events, against which is held what was said to it."""

    def __init__(self, run_id: str, events: Iterable[Event], agents: Mapping[str, Agent]) -> None:
        self._run_id = run_id
        self._events = tuple(events)
        self._agents = agents
        self._states = [RunState()]
        for event in self._events:
            self._states.append(evolve(self._states[-1], cast("RunEvent", event)))

    def problem(self, said: Said) -> str:
        """Return why it cannot be that this was answered so; empty if it can."""
        end = len(self._events)
        until = end if said.until is None else min(said.until, end)
        if said.refusal == told(RunNotFound(self._run_id)):
            return "" if said.since == 0 else f"{said} it was refused: {said.refusal}"
        possible: dict[str, None] = {}
        for version in range(said.since, until + 1):
            # A visitor that finds no owner refuses by the log alone, without agents.
            for agents in (self._agents, _NOBODY):
                came = self._decided(said, version, until, agents)
                if came == said.refusal:
                    return ""
                possible[came or "it is obeyed"] = None
        came = f"refused: {said.refusal}" if said.refusal else "obeyed"
        return f"{said} it was {came}. What may have come of it: {'; '.join(possible)}"

    def _decided(self, said: Said, version: int, until: int, agents: Mapping[str, Agent]) -> str:
        """Return with what it is refused at a version; empty if it is obeyed, and in the log."""
        state = self._states[version]
        try:
            events = decide(state, command_for(said.request, self._run_id, state, agents))
        except (Refused, NotFound) as error:
            return told(error)
        if events == self._events[version : min(version + len(events), until)]:
            return ""
        return f"{' '.join(type(event).__name__ for event in events)} after version {version}"
