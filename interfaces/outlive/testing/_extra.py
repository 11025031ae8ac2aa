"""What is missing without the extra `testing`, said in words."""

from __future__ import annotations

from typing import Final

_EXTRA: Final = ("hypothesis", "pytest")


def explained(error: ModuleNotFoundError, name: str) -> ModuleNotFoundError:
    """Return what to raise in the place of `error`, which came up in module `name`."""
    missing = error.name
    if missing not in _EXTRA:
        return error  # It is there, and something else is wrong.
    return ModuleNotFoundError(
        f"{name} needs {missing!r}, which is not installed: pip install 'outlive[testing]'",
        name=missing,
    )
