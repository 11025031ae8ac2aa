"""A process that a benchmark starts: what it prints is read, what it logs is not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import redirect_stdout


def tell(*values: object) -> None:
    """Print a line for the one who has started this process."""
    print(*values, file=sys.__stdout__, flush=True)


def run(main: Coroutine[object, object, None]) -> None:
    """Run the program; what is logged meanwhile goes to standard error.

    structlog is not configured for that: importing it takes longer than the library does, which
    imports it only when there is something to log.
    """
    with redirect_stdout(sys.stderr):
        asyncio.run(main)
