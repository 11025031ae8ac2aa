"""Who may import whom, and what the rooms ask of the world only through an injected port."""

import ast
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "events": {"events"},
    "projections": {"projections", "events"},
    "actors": {"actors", "projections", "events"},
    "interfaces": None,  # everything
}
# Modules beside the packages, with nothing of ours around them that would be imported along.
MODULES = {"interfaces": {"pytest_plugin.py"}}
FILES = {room: sorted((ROOT / room / "outlive").rglob("*.py")) for room in MAY_IMPORT}

# Clock, ids, randomness and waiting are injected. `TaskGroup` and `wait` keep tasks in sets: they
# cancel and report in the order of memory addresses, so the same seed would not give the same run.
INJECTED = {
    "asyncio.TaskGroup",
    "asyncio.sleep",
    "asyncio.wait",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "os.urandom",
    "random.choice",
    "random.randint",
    "random.random",
    "random.uniform",
    "secrets.token_bytes",
    "secrets.token_hex",
    "time.monotonic",
    "time.monotonic_ns",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
}
# path -> why this module may use them. Keep it short: each line is a thing a test cannot control.
ALLOWED = {
    "actors/outlive/actors/ids.py": "the random ids behind the Ids port",
    "events/outlive/events/clock.py": "the system clock behind the Clock port",
}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted name of everything that a module of `package` imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                source = resolve_name("." * level + (module or ""), package)
                yield from (f"{source}.{alias.name}" for alias in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield resolve_name(name, package)
            case _:
                pass


def rooms_imported(tree: ast.AST, package: str) -> set[str]:
    parts = (name.split(".") for name in imported(tree, package))
    return {part[1] for part in parts if part[0] == "outlive" and len(part) > 1}


def names_used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of each imported thing a module refers to, aliases undone."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    root = alias.name.partition(".")[0]
                    known[alias.asname or root] = alias.name if alias.asname else root
            case ast.ImportFrom(module=str(module), names=names, level=0):
                known |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
            case _:
                pass
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name, _, rest = ast.unparse(node).partition(".")
            if name in known:
                yield node.lineno, f"{known[name]}.{rest}".rstrip(".")


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def package_of(path: Path, room: str) -> str:
    return ".".join(path.relative_to(ROOT / room).parent.parts)


@pytest.mark.parametrize("room", [room for room, allowed in MAY_IMPORT.items() if allowed])
def test_a_room_imports_only_what_stands_below_it(room: str) -> None:
    allowed = MAY_IMPORT[room] or set()
    wrong = {
        str(path.relative_to(ROOT)): sorted(above)
        for path in FILES[room]
        if (above := rooms_imported(parse(path), package_of(path, room)) - allowed)
    }
    assert not wrong


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_outlive_is_a_namespace_package_in_every_room(room: str) -> None:
    assert [child.name for child in (ROOT / room).glob("*/")] in (["outlive"], [])
    files = {path.name for path in (ROOT / room / "outlive").glob("*") if path.is_file()}
    assert files == MODULES.get(room, set())


def test_the_pytest_plugin_imports_nothing_but_pytest() -> None:
    # Every pytest loads it that has Outlive installed; what a fixture needs it imports itself.
    tree = parse(ROOT / "interfaces" / "outlive" / "pytest_plugin.py")
    always = ast.Module([node for node in tree.body if is_import(node)], type_ignores=[])
    assert {name.partition(".")[0] for name in imported(always, "outlive")} <= {
        "__future__",
        "collections",
        "pytest",
        "typing",
    }


@pytest.mark.parametrize("room", ["events", "projections", "actors"])
def test_clock_ids_randomness_and_waiting_are_injected(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in FILES[room]
        if path.relative_to(ROOT).as_posix() not in ALLOWED
        for line, name in names_used(parse(path))
        if name in INJECTED
    ]
    assert not wrong


def test_what_is_allowed_is_still_needed() -> None:
    for path in ALLOWED:
        assert INJECTED & {name for _, name in names_used(parse(ROOT / path))}, path


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import outlive.actors", {"actors"}),
        ("from outlive.actors.agent import Agent", {"actors"}),
        ("from outlive import cli as _cli, events", {"cli", "events"}),
        ("from ..actors import Agent", {"actors"}),
        ("from .log import EventLog", {"events"}),
        ("from __future__ import annotations\nimport asyncio.events", set[str]()),
        ("import importlib\nimportlib.import_module('outlive.cli')", {"cli"}),
        ("def late():\n    import outlive.projections.why", {"projections"}),
    ],
)
def test_the_import_check_sees_every_way_to_import(source: str, rooms: set[str]) -> None:
    assert rooms_imported(ast.parse(source), "outlive.events") == rooms


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import time\nnow = time.time()", "time.time"),
        ("import time as t\nclass C:\n    clock = t.time", "time.time"),
        ("from time import time as now\nnow()", "time.time"),
        ("from uuid import uuid4\ndef new(make=uuid4): ...", "uuid.uuid4"),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(1)", "asyncio.sleep"),
        ("from asyncio import TaskGroup\nTaskGroup()", "asyncio.TaskGroup"),
    ],
)
def test_the_injection_check_sees_through_aliases(source: str, name: str) -> None:
    assert INJECTED & {used for _, used in names_used(ast.parse(source))} == {name}


def test_the_injection_check_leaves_other_names_alone() -> None:
    source = "import asyncio\nasyncio.wait_for(1, 2)\nclock.time()\nself.time.time()\nloop.time()"
    assert not INJECTED & {used for _, used in names_used(ast.parse(source))}
