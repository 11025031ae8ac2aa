"""Fetching one page of a site, politely and without leaving the site."""

from __future__ import annotations

import http.client
import ipaddress
from collections.abc import Sequence
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urldefrag, urljoin, urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)
from urllib.robotparser import RobotFileParser

import msgspec

from outlive.cli._demo.html import Passage, read_html
from outlive.events import OutliveError

USER_AGENT: Final = "outlive-demo/0.1"
_TIMEOUT: Final = 10.0  # seconds
_LARGEST: Final = 4 * 1024 * 1024  # bytes of a page that are read
_HTML: Final = ("text/html", "application/xhtml+xml")
_MAX_PATH: Final = 500


class SiteUnreachable(OutliveError):
    """The site does not answer. Worth another try."""


class NotASite(OutliveError):
    """What the address leads to holds no page. Another try would not help."""


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found at a path. Where `skipped` says why, there is nothing to read.

    `links` are paths of the same site, in order, each once.
    """

    path: str
    url: str
    title: str = ""
    passages: tuple[Passage, ...] = ()
    links: tuple[str, ...] = ()
    skipped: str = ""


def origin_of(url: str) -> str:
    """Return scheme, host and port: `http://localhost:8000`.

    Raises:
        NotASite: this is no http or https address.
    """
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError as error:
        raise NotASite(f"{url!r} is no address of a site: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotASite(f"{url!r} is no address of a site: it begins with http:// or https://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def path_of(url: str) -> str:
    """Return a URL's path, `/` for none. A step of the crawl has it for its key."""
    path = quote(urlsplit(url).path, safe="/%:@!$&'()*+,;=~-._")
    return path or "/"


def fetch_page(url: str, *, anywhere: bool = False) -> Page:
    """Fetch and read one page. Blocks; for use in a thread.

    A redirect is followed within the site only, unless it may lead `anywhere`. What is no HTML,
    or answered with an error by the server, comes back as a page that was skipped.

    Raises:
        SiteUnreachable: no connection, no answer in time, or an answer that is no HTTP.
    """
    path = path_of(url)
    opener = _opener(url, anywhere=anywhere)
    try:
        with opener.open(Request(url, headers=_HEADERS), timeout=_TIMEOUT) as answer:
            found = str(answer.url)
            content_type = answer.headers.get_content_type()
            if content_type not in _HTML:
                return Page(path=path, url=found, skipped=f"{content_type}, not HTML")
            charset = answer.headers.get_content_charset() or "utf-8"
            body = answer.read(_LARGEST)
    except HTTPError as error:
        with error:
            return Page(path=path, url=url, skipped=f"the site answered {error.code}")
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise SiteUnreachable(f"cannot read {url}: {_plainly(reason)}") from None
    content = read_html(_decode(body, charset))
    return Page(
        path=path,
        url=found,
        title=content.title or path,
        passages=content.passages,
        links=_links(found, content.links),
    )


def fetch_rules(origin: str) -> str:
    """Return the site's robots.txt, empty if it has none. Raises SiteUnreachable."""
    try:
        opener = _opener(origin, anywhere=False)
        request = Request(f"{origin}/robots.txt", headers=_HEADERS)
        with opener.open(request, timeout=_TIMEOUT) as answer:
            return _decode(answer.read(_LARGEST), "utf-8")
    except HTTPError as error:
        with error:
            return ""
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise SiteUnreachable(f"cannot read {origin}: {_plainly(reason)}") from None


def allowed(rules: str, url: str) -> bool:
    """Whether a robots.txt lets this crawler read a page."""
    parser = RobotFileParser()
    parser.parse(rules.splitlines())
    return parser.can_fetch(USER_AGENT, url)


def is_loopback(url: str) -> bool:
    """Whether the site is on this machine, by its name or number."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_HEADERS: Final = {"User-Agent": USER_AGENT, "Accept": "text/html"}


class _WithinSite(HTTPRedirectHandler):
    """Follows no redirect that leaves the site."""

    def redirect_request(  # noqa: PLR0917  # the signature of the base class
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """Return the request that follows; None ends with the redirect as it came."""
        if origin_of(newurl) != origin_of(req.full_url):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str, *, anywhere: bool) -> OpenerDirector:
    handlers: list[BaseHandler] = [] if anywhere else [_WithinSite()]
    if is_loopback(url):
        handlers.append(ProxyHandler({}))  # A proxy would not know this machine's loopback.
    return build_opener(*handlers)


def _links(found: str, written: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of links that stay on the site. Queries are left out: they do not end."""
    origin, paths = origin_of(found), dict[str, None]()
    for link in written:
        try:
            target = urldefrag(urljoin(found, link.strip())).url
            parts = urlsplit(target)
            if parts.query or origin_of(target) != origin:
                continue
        except (ValueError, NotASite):
            continue
        path = path_of(target)
        if len(path) <= _MAX_PATH:
            paths.setdefault(path)
    return tuple(paths)


def _decode(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _plainly(reason: object) -> str:
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
