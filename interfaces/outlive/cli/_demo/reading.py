"""The demo's tools that read a site: its first page at once, the others in background tasks."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from outlive.actors import Background, Retry, Tool, ToolContext, tool
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

OPEN: Final = "open_site"
READ: Final = "read_pages"
AT_ONCE: Final = 3
"""Tasks that read at the same time."""
RULES: Final = "robots.txt"
"""The step that holds a site's wishes; the other steps are paths, and begin with a slash."""

_RETRY: Final = Retry(2, delay=0.3, retry_on=("SiteUnreachable",))


@tool(name=OPEN, read_only=True, retry=_RETRY)
async def open_site(url: str, ctx: ToolContext) -> Page:
    """Read the first page of a site, with its links.

    Args:
        url: an absolute http(s) address. It may lead to another one.
    """
    origin_of(url)
    page = await ctx.step(path_of(url), _fetch_first, url)
    if page.skipped:
        raise NotASite(f"{url} holds no page: {page.skipped}")
    return page


def page_reader(*, pause: float) -> Tool[..., Any]:
    """Return the tool that reads pages, in a background task.

    Args:
        pause: seconds that it waits after each page, as a polite crawler does.
    """

    @tool(
        name=READ,
        read_only=True,
        retry=_RETRY,
        background=Background(mode="awaited"),
        concurrency=AT_ONCE,
    )
    async def read_pages(urls: list[str], ctx: ToolContext) -> list[Page]:
        """Read pages of one site, one after the other.

        Every page is a step: once it is recorded, it is never fetched again for this call, in
        whatever process the call goes on. A page that its site wants no crawler to read comes
        back as one that was skipped.

        Args:
            urls: absolute http(s) addresses.
        """
        rules = await _rules_of(urls, ctx)
        pages: list[Page] = []
        for url in urls:
            fetched: list[str] = []
            page = await ctx.step(path_of(url), fetch_allowed, url, rules, fetched)
            pages.append(page)
            await ctx.progress(done=len(pages), total=len(urls), note=page.title or page.path)
            if fetched:
                await asyncio.sleep(pause)
        return pages

    return read_pages


def _fetch_first(url: str) -> Page:
    return fetch_page(url, anywhere=True)


def fetch_allowed(url: str, rules: str, fetched: list[str]) -> Page:
    """Fetch a page, and note that it was; one that the site's rules forbid is skipped.

    After a page that comes from the log nothing is noted, and its site needs no rest.
    """
    if not allowed(rules, url):
        return Page(path=path_of(url), url=url, skipped=f"the site's {RULES} says so")
    fetched.append(url)
    return fetch_page(url)


async def _rules_of(urls: list[str], ctx: ToolContext) -> str:
    """Return the wishes of a site, on another machine than this one."""
    if not urls or is_loopback(urls[0]):
        return ""
    return await ctx.step(RULES, fetch_rules, origin_of(urls[0]))
