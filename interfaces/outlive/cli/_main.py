"""The entry point: works without the extra, as far as to say how to install it."""

from __future__ import annotations

import io
import sys
from typing import Final

import structlog

_EXTRA: Final = ("cyclopts", "rich")


def main() -> None:
    """Run the `outlive` command with the arguments of this process, and exit.

    Exit codes: 0 fine, 1 a check, run or task failed, 2 wrong usage, 3 the log cannot be opened,
    4 there is no such run, task, agent or question, 130 interrupted.
    """
    try:
        from outlive.cli._app import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.exit(
            f"outlive: the command line needs {missing!r}, which is not installed: "
            "pip install 'outlive[cli]'"
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # A stream that knows ASCII only is no reason to end.
    if not structlog.is_configured():
        # What a command prints is for who called it: `id=$(outlive runs start ...)`.
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.exit(run(sys.argv[1:]))
