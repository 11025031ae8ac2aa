"""Functions that another process can import, by module and name."""

from __future__ import annotations

import dis
import importlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from outlive.events import InvalidDefinition


def check_importable(fn: Callable[..., Any], tool: str, context: str | None) -> None:
    """Raise InvalidDefinition unless a worker process can import and call `fn`.

    `context` is the parameter that the runtime fills. Its `deps` are objects of the owner's
    process, so a function that reads them there is refused.
    """
    module = getattr(fn, "__module__", None)
    qualname = getattr(fn, "__qualname__", "<no name>")
    why = ""
    if not isinstance(module, str) or module not in sys.modules:
        why = f"its module {module!r} cannot be imported"
    elif module == "__main__":
        why = "it is defined in the script that is run: move it to a module"
    elif "<" in qualname:
        why = f"{qualname!r} is defined within a function, or has no name: move it to its module"
    elif context is not None and context in _reads_deps(getattr(fn, "__code__", None)):
        why = f"it reads {context}.deps, which do not leave the owner's process"
    if why:
        raise InvalidDefinition(f"tool {tool!r} cannot run in a process of its own: {why}")


def _reads_deps(code: CodeType | None) -> set[str]:
    """Return the names of which the code, or a function inside, reads the attribute `deps`."""
    found: set[str] = set()
    for each in _with_inner(code):
        last = ""
        for step in dis.get_instructions(each):
            if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argval == "deps":
                found.add(last)
            last = step.argval if step.opname.startswith("LOAD_") else ""
            last = last if isinstance(last, str) else ""
    return found


def _with_inner(code: CodeType | None) -> Iterator[CodeType]:
    if code is not None:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _with_inner(constant)


def resolve(module: str, qualname: str) -> object:
    """Import what a job names: a tool, or a function that is to be one."""
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found
