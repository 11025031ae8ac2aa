"""What a package offers is what its sorted `__all__` says, no more and no less."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ["events", "projections", "actors", "interfaces"]
PACKAGES = {
    f"outlive.{folder.name}": room
    for room in ROOMS
    for folder in sorted((ROOT / room / "outlive").glob("[!_.]*/"))
    if folder.is_dir()
} | {"outlive.testing.log_contract": "interfaces"}


def public_names(package: ModuleType) -> set[str]:
    """Every name that `from package import name` gives a user, submodules aside."""
    return {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) != "__future__"
        and not (isinstance(value, ModuleType) and value.__name__ == f"{package.__name__}.{name}")
    }


def without_docstring(package: ModuleType) -> list[str]:
    missing: list[str] = []
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            doc = value.__doc__ or ""
            if not doc.strip() or doc.startswith(f"{name}("):  # what `dataclass` puts there
                missing.append(name)
    return missing


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_every_room_has_a_package() -> None:
    assert set(PACKAGES.values()) == set(ROOMS)


def test_the_package_is_the_one_in_this_tree(package: ModuleType) -> None:
    room = ROOT / PACKAGES[package.__name__]
    assert package.__file__, f"{package.__name__} has no __init__.py"
    assert Path(package.__file__).is_relative_to(room)


def test_the_package_tells_type_checkers_that_it_is_typed(package: ModuleType) -> None:
    _, room, *_ = package.__name__.split(".")
    assert (ROOT / PACKAGES[package.__name__] / "outlive" / room / "py.typed").is_file()


def test_all_is_sorted_and_names_everything_public(package: ModuleType) -> None:
    assert hasattr(package, "__all__"), f"{package.__name__} has no __all__"
    assert list(package.__all__) == sorted(set(package.__all__))
    assert set(package.__all__) == public_names(package)


def test_everything_public_has_a_docstring(package: ModuleType) -> None:
    assert without_docstring(package) == []


def test_the_check_sees_what_all_forgets_and_what_it_invents() -> None:
    package = ModuleType("sample")
    source = """
from __future__ import annotations
import os
class Kept: ...
def leaked(): "Documented."
_private = 1
__all__ = ["Kept", "invented"]
"""
    exec(source, vars(package))
    vars(package)["part"] = ModuleType("sample.part")

    assert public_names(package) == {"Kept", "leaked", "os"}
    vars(package)["__all__"] = ["Kept", "leaked"]
    assert without_docstring(package) == ["Kept"]
