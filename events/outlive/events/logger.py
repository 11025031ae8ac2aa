"""The library's logger. structlog is imported at the first line, as most processes log none.

That is a third of what it takes to import `outlive.actors`, where rich is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger


class _Logger:
    """A logger that is looked up whenever it is used, so what is configured by then holds."""

    __slots__ = ("_name", "_values")

    def __init__(self, name: str, values: dict[str, object]) -> None:
        self._name = name
        self._values = values

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # `copy` asks for what a logger has not got.
            raise AttributeError(name)
        from structlog.stdlib import get_logger  # noqa: PLC0415  # see above

        logger: object = get_logger(self._name, **self._values)
        return getattr(logger, name)


def get_logger(name: str = "outlive", **values: object) -> BoundLogger:
    """Return a logger of this name, with values that go with each line."""
    return cast("BoundLogger", _Logger(name, values))
