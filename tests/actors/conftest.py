"""The tests of who acts."""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from outlive.actors import snapshots

Logs = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def logs() -> Generator[Logs]:
    """What was logged, in place of writing it out."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture(params=[snapshots.EVERY_EVENTS, 2], ids=["", "saved every 2 events"])
def saved_every(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Repeats a test with states saved so often that it makes use of them."""
    monkeypatch.setattr(snapshots, "EVERY_EVENTS", request.param)
    return int(request.param)
