"""The pytest plugin. Every pytest loads it beside Outlive, so it imports nothing but pytest.

What a fixture needs is imported when the fixture is used.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them prefixed `--outlive-`."""
    parser.getgroup("outlive", "agents that outlive the request")
