"""The demo's agent: it has a site read in background tasks, and publishes what it makes of it."""

from __future__ import annotations

from typing import Final

from outlive.actors import Agent
from outlive.cli._demo.model import ExtractiveModel
from outlive.cli._demo.publishing import publish
from outlive.cli._demo.reading import open_site, page_reader

AGENT_ID: Final = "demo-research"
_MOST_CALLS: Final = 1_000
"""All tasks of a step queue at once; how many of them run is up to the tool."""


def research_agent(*, max_pages: int, pause: float, answer_time: float) -> Agent:
    """Return the agent. Every process that goes on with its runs makes it anew.

    Args:
        max_pages: pages that it has read at most.
        pause: seconds that a task waits after each page, as a polite crawler does.
        answer_time: seconds over which it streams its answer.
    """
    return Agent(
        AGENT_ID,
        model=ExtractiveModel(max_pages=max_pages, answer_time=answer_time),
        instructions="Read the site, then answer with a brief that cites pages. Publish if asked.",
        tools=[open_site, page_reader(pause=pause), publish],
        tool_concurrency=_MOST_CALLS,
        max_steps=max_pages + 3,  # Each round finds a page at least; then the brief, and a word.
    )
