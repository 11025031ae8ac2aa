"""The functions that a runtime knows by name, for what is stored to refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from outlive.actors.agent import Agent
from outlive.actors.run_context import Functions
from outlive.events import InvalidDefinition


def check_functions(functions: Functions, agents: Iterable[Agent]) -> Functions:
    """Return the functions. Raises InvalidDefinition if one is none, or one is missing."""
    if not isinstance(functions, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"functions are by name, {{'a name': ...}}, not {functions!r}")
    for name, function in functions.items():
        if type(name) is not str or not callable(function):
            raise InvalidDefinition(f"functions: {name!r} names no function: {function!r}")
    for agent in agents:
        for name in agent.functions:
            if name not in functions:
                raise InvalidDefinition(
                    f"agent {agent.id!r} refers to a function {name!r}; hand it in as "
                    f"Runtime(functions={{{name!r}: ...}})"
                )
        for tool in agent.tools.values():
            wanted = tool.requires_approval
            if isinstance(wanted, str) and wanted not in functions:
                raise InvalidDefinition(
                    f"agent {agent.id!r}, tool {tool.name!r}: there is no predicate {wanted!r}; "
                    f"hand it in as Runtime(functions={{{wanted!r}: ...}})"
                )
    return dict(functions)
