"""The library's logger, and what it spares who logs nothing."""

from __future__ import annotations

import subprocess
import sys
from copy import copy

import pytest
from structlog.testing import capture_logs

from outlive.events.logger import get_logger


def test_what_it_is_given_goes_with_each_line() -> None:
    logger = get_logger("outlive.tool", run_id="r1")
    with capture_logs() as lines:
        logger.info("looked", at="page")
        copy(logger).bind(more=1).warning("looked_again")
    assert lines == [
        {"event": "looked", "log_level": "info", "run_id": "r1", "at": "page"},
        {"event": "looked_again", "log_level": "warning", "run_id": "r1", "more": 1},
    ]


@pytest.mark.parametrize("module", ["outlive.actors", "outlive.projections", "outlive.events"])
def test_what_only_some_need_is_not_imported_with_the_library(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules.keys() & {{'structlog', 'rich', 'croniter'}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
