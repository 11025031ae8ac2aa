"""Which pages are read next, and by how many tasks: breadth-first, in rounds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outlive.cli._demo.fetch import Page, origin_of, path_of

A_TASK: Final = 4
"""Pages that a task reads at most."""
_TASKS: Final = 3
"""Tasks that a round has at least, if it has so many pages."""


def next_round(
    first: Page, asked: Sequence[str], read: Sequence[Page], *, max_pages: int
) -> list[list[str]]:
    """Return the addresses of pages to be read next, by task; nothing when all is read.

    Args:
        first: the page that the site begins with.
        asked: addresses that were asked for, whatever came of them.
        read: what they led to, in that order.
        max_pages: how many may be asked for over all, the first one among them.
    """
    origin = origin_of(first.url)
    seen = {first.path, path_of(first.url), *map(path_of, asked)}
    seen.update(path_of(page.url) for page in read)
    fresh = dict.fromkeys(link for page in (first, *read) for link in page.links)
    room = max(max_pages - 1 - len(asked), 0)
    urls = [origin + path for path in fresh if path not in seen][:room]
    size = max(min(A_TASK, -(-len(urls) // _TASKS)), 1)
    return [urls[at : at + size] for at in range(0, len(urls), size)]
