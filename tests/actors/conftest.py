"""The tests of who acts."""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

Logs = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def logs() -> Generator[Logs]:
    """What was logged, in place of writing it out."""
    with capture_logs() as entries:
        yield entries
