"""The `outlive` command. Needs the extra `cli`."""

from outlive.cli._main import main

__all__ = ["main"]
