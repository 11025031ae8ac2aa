"""The demo's agent: it reads a site page by page, and publishes what its model makes of it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import msgspec

from outlive.actors import Agent, Retry, Tool, ToolContext, tool
from outlive.cli._demo.fetch import (
    NotASite,
    Page,
    allowed,
    fetch_page,
    fetch_rules,
    is_loopback,
    origin_of,
    path_of,
)
from outlive.cli._demo.model import ExtractiveModel
from outlive.cli._demo.publishing import publish

AGENT_ID: Final = "demo-research"
TOOL_NAME: Final = "read_site"
RULES: Final = "robots.txt"
"""The step that holds a site's wishes; the other steps are paths, and begin with a slash."""


class Skipped(msgspec.Struct, frozen=True):
    """A page that was fetched and not read, and why."""

    path: str
    reason: str


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What the tool read. Pages without their links, in the order in which they were read."""

    url: str
    pages: tuple[Page, ...]
    skipped: tuple[Skipped, ...] = ()


def research_agent(*, max_pages: int, pause: float, answer_time: float) -> Agent:
    """Return the agent. Every process that goes on with its runs makes it anew.

    Args:
        max_pages: pages that its tool fetches at most.
        pause: seconds that it waits after each page, as a polite crawler does.
        answer_time: seconds over which it streams its answer.
    """
    return Agent(
        AGENT_ID,
        model=ExtractiveModel(answer_time=answer_time),
        instructions="Read the site, then answer with a brief that cites pages. Publish if asked.",
        tools=[site_reader(max_pages=max_pages, pause=pause), publish],
    )


def site_reader(*, max_pages: int, pause: float) -> Tool[..., Any]:
    """Return the tool that reads a site."""
    retry = Retry(2, delay=0.3, retry_on=("SiteUnreachable",))

    @tool(name=TOOL_NAME, read_only=True, retry=retry)
    async def read_site(url: str, ctx: ToolContext) -> Site:
        """Read a documentation site, following its links breadth-first.

        Every page is a step: once it is recorded, it is never fetched again for this call, in
        whatever process the call goes on.

        Args:
            url: the page to begin with, an absolute http(s) address.
        """
        crawl = _Crawl(ctx, url, max_pages=max_pages, pause=pause)
        return await crawl.run()

    return read_site


class _Crawl:
    """One walk over a site. All of it is done again by each attempt, but for the fetches."""

    def __init__(self, ctx: ToolContext, url: str, *, max_pages: int, pause: float) -> None:
        self._ctx = ctx
        self._origin = origin_of(url)
        self._start = url
        self._max_pages = max_pages
        self._pause = pause
        self._fetched = False
        self._pages: list[Page] = []

    async def run(self) -> Site:
        rules = ""
        if not is_loopback(self._origin):
            rules = await self._ctx.step(RULES, fetch_rules, self._origin)
        first = await self._visit(self._start, anywhere=True)
        if first.skipped:
            raise NotASite(f"{self._start} holds no page: {first.skipped}")
        self._origin = origin_of(first.url)
        waiting = deque(path for path in first.links if path != first.path)
        seen = {first.path, path_of(first.url), *waiting}
        await self._tell(waiting)
        while waiting and len(self._pages) < self._max_pages:
            path = waiting.popleft()
            if not allowed(rules, self._origin + path):
                continue
            page = await self._visit(self._origin + path)
            fresh = [link for link in page.links if link not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
            await self._tell(waiting)
        return self._site()

    async def _visit(self, url: str, *, anywhere: bool = False) -> Page:
        """Fetch a page, or take it from the log."""
        self._fetched = False
        page = await self._ctx.step(path_of(url), self._fetch, url, anywhere)
        self._pages.append(page)
        return page

    def _fetch(self, url: str, anywhere: bool) -> Page:
        self._fetched = True
        return fetch_page(url, anywhere=anywhere)

    async def _tell(self, waiting: deque[str]) -> None:
        """Tell how far it is, and give the site a rest after a fetch."""
        done = len(self._pages)
        total = min(done + len(waiting), self._max_pages)
        await self._ctx.progress(done=done, total=total, note=self._pages[-1].path)
        if self._fetched:
            await asyncio.sleep(self._pause)

    def _site(self) -> Site:
        pages: dict[tuple[str, object], Page] = {}
        skipped: list[Skipped] = []
        for page in self._pages:
            again = pages.get((page.title, page.passages))
            if page.skipped:
                skipped.append(Skipped(page.path, page.skipped))
            elif again is not None:
                skipped.append(Skipped(page.path, f"the same page as {again.path}"))
            else:
                pages[page.title, page.passages] = msgspec.structs.replace(page, links=())
        return Site(url=self._start, pages=tuple(pages.values()), skipped=tuple(skipped))
