"""When an agent's runs end before its model does, as its user says it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

from outlive.events import InvalidDefinition, StopAfterSteps, StopOnText, StopOnTool
from outlive.events.run.stopping import StopCondition, StopFunction

StopWhen: TypeAlias = StopAfterSteps | StopOnTool | StopOnText | str


def stop_conditions(
    stop_when: Sequence[StopWhen], agent_id: str, tools: Collection[str]
) -> tuple[StopCondition, ...]:
    """Return what is stored with each run.

    Raises:
        InvalidDefinition: a condition that cannot hold, or not after a restart.
    """
    where = f"agent {agent_id!r}, stop_when"
    if isinstance(stop_when, str) or not isinstance(stop_when, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"{where} is a list of conditions, not {stop_when!r}")
    return tuple(_condition(item, where, tools) for item in stop_when)


def _condition(item: object, where: str, tools: Collection[str]) -> StopCondition:
    match item:
        case str() if item:
            return StopFunction(item)
        case StopAfterSteps(steps=steps):
            if type(steps) is not int or steps < 1:
                raise InvalidDefinition(f"{where}: steps are 1 or more, not {steps!r}")
            return item
        case StopOnTool(name=name):
            if name not in tools:
                raise InvalidDefinition(f"{where}: the agent has no tool {name!r}")
            return item
        case StopOnText(text=text):
            if type(text) is not str or not text:
                raise InvalidDefinition(f"{where}: text that is not empty, not {text!r}")
            return item
        case _ if callable(item):
            raise InvalidDefinition(
                f"{where}: {item!r} would not be found again after a restart; hand it in as "
                "Runtime(functions={'a name': ...}), and give the name here"
            )
        case _:
            raise InvalidDefinition(
                f"{where} holds StopAfterSteps, StopOnTool, StopOnText or names of functions, "
                f"not {item!r}"
            )
