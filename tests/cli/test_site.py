"""The demo's web server counts, and its crawler reads a site page by page without leaving it."""

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from outlive.actors import Runtime
from outlive.cli._demo.agent import research_agent
from outlive.cli._demo.fetch import (
    NotASite,
    Page,
    SiteUnreachable,
    allowed,
    fetch_page,
    is_loopback,
    origin_of,
)
from outlive.cli._demo.html import Passage, read_html
from outlive.cli._demo.model import ask
from outlive.cli._demo.reading import AT_ONCE, fetch_allowed
from outlive.cli._demo.web_server import SiteServer
from outlive.events import Record, TaskProgressed, TaskStarted, TaskSucceeded
from outlive.projections import ToolMessage
from tests.cli.support import closed_port, page, write_site


def crawl(url: str, *, max_pages: int = 40) -> list[ToolMessage]:
    """Let the demo's agent read a site, and return what its tools answered."""
    agent = research_agent(max_pages=max_pages, pause=0.0, answer_time=0.0)

    async def read() -> list[ToolMessage]:
        async with Runtime(None, agents=[agent]) as rt:
            result = await rt.run(agent, ask("What is here?", url))
        return [message for message in result.messages if isinstance(message, ToolMessage)]

    return asyncio.run(read())


def pages_of(answers: list[ToolMessage]) -> list[Page]:
    """Return the pages that were read, in the order in which they were asked for."""
    assert [answer.error for answer in answers] == [None] * len(answers)
    first, *others = answers
    found = [msgspec.convert(answer.result, list[Page]) for answer in others]
    return [msgspec.convert(first.result, Page), *(page for pages in found for page in pages)]


@contextmanager
def answering(
    status: int, headers: dict[str, str], body: bytes = b""
) -> Generator[str, None, None]:
    """Serve one answer to everything; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_site_is_read_breadth_first_and_each_page_fetched_once(tmp_path: Path) -> None:
    write_site(
        tmp_path,
        {
            "index.html": page("Start", "Welcome.", links=["a.html", "b.html#part", "/index.html"]),
            "a.html": page("A", "About a.", links=["deep/c.html", "index.html", "a.html"]),
            "b.html": page("B", "About b.", links=["a.html", "deep/c.html", "?page=2"]),
            "deep/c.html": page("C", "About c.", links=["../b.html", "http://elsewhere.invalid/"]),
        },
    )
    with SiteServer(tmp_path) as server:
        found = pages_of(crawl(server.url))
        counts = server.counts()

    assert [p.path for p in found] == ["/index.html", "/a.html", "/b.html", "/deep/c.html"]
    assert [p.title for p in found] == ["Start", "A", "B", "C"]
    assert found[3].passages[0] == Passage("C", "About c.")
    assert counts.started == counts.completed == dict.fromkeys([p.path for p in found], 1)
    assert counts.in_flight == 0


def test_missing_pages_and_other_files_are_skipped_with_the_reason(tmp_path: Path) -> None:
    links = ["missing.html", "picture.png"]
    index = page("Start", "Welcome.", links=links)
    write_site(tmp_path, {"index.html": index, "picture.png": "not really"})
    with SiteServer(tmp_path) as server:
        found = pages_of(crawl(server.url))
        counts = server.counts()

    assert {page.path: page.skipped for page in found} == {
        "/index.html": "",
        "/missing.html": "the site answered 404",
        "/picture.png": "image/png, not HTML",
    }
    assert counts.started["/missing.html"] == 1


def test_no_more_pages_are_fetched_than_allowed(tmp_path: Path) -> None:
    names = [f"{number}.html" for number in range(9)]
    pages = {name: page(name, f"This is {name}.", links=names) for name in names}
    write_site(tmp_path, {"index.html": page("Start", "Welcome.", links=names), **pages})
    with SiteServer(tmp_path) as server:
        found = pages_of(crawl(server.url, max_pages=4))
        counts = server.counts()

    assert len(found) == 4
    assert sum(counts.started.values()) == 4


def test_a_folder_without_index_shows_a_list_of_its_pages(tmp_path: Path) -> None:
    write_site(
        tmp_path,
        {
            "one.html": page("One", "This is one."),
            "sub folder/two.html": page("Two", "This is two."),
            ".hidden/three.html": page("Three", "This is three."),
            "notes.txt": "no page",
        },
    )
    with SiteServer(tmp_path) as server:
        found = pages_of(crawl(server.url))

    assert {p.path for p in found if p.passages} == {"/one.html", "/sub%20folder/two.html"}


@pytest.mark.parametrize("path", ["/../secret.html", "/%2e%2e/secret.html", "/%00", "//etc/passwd"])
def test_nothing_outside_of_the_folder_is_served(tmp_path: Path, path: str) -> None:
    write_site(tmp_path, {"secret.html": page("Secret", "Hush."), "site/a.html": page("A", "a.")})
    with SiteServer(tmp_path / "site") as server:
        found = fetch_page(origin_of(server.url) + path)

    assert found.skipped == "the site answered 404"


def test_several_tasks_read_at_once_and_each_tells_how_far_it_is(tmp_path: Path) -> None:
    names = [f"{number}.html" for number in range(14)]
    pages = {name: page(f"Page {name}", "Tea is hot.") for name in names}
    write_site(tmp_path, {"index.html": page("Start", "Tea is hot.", links=names), **pages})
    agent = research_agent(max_pages=40, pause=0.0, answer_time=0.0)

    async def read(url: str) -> list[Record]:
        async with Runtime(None, agents=[agent]) as rt:
            await rt.run(agent, ask("Is tea hot?", url))
            return rt.log.read_all()

    with SiteServer(tmp_path) as server:
        records = asyncio.run(read(server.url))

    running: set[str] = set()
    at_once: list[int] = []
    last: dict[str, TaskProgressed] = {}
    for record in records:
        for event in record.events:
            match event:
                case TaskStarted():
                    running.add(record.stream)
                    at_once.append(len(running))
                case TaskSucceeded():
                    running.discard(record.stream)
                case TaskProgressed():
                    last[record.stream] = event
                case _:
                    pass
    assert at_once[:3] == [1, 2, 3]
    assert max(at_once) == AT_ONCE == 3
    assert [(told.done, told.total) for told in last.values()] == [(4, 4), (4, 4), (4, 4), (2, 2)]
    assert {told.note for told in last.values()} <= {f"Page {name}" for name in names}


def test_pages_that_a_site_wants_no_crawler_to_read_are_not_fetched() -> None:
    rules = "User-agent: *\nDisallow: /private/\n"
    with answering(200, {"Content-Type": "text/html"}, b"<p>Open.") as url:
        fetched: list[str] = []
        hidden = fetch_allowed(f"{url}/private/a.html", rules, fetched)
        open_ = fetch_allowed(f"{url}/open.html", rules, fetched)

    assert hidden.skipped == "the site's robots.txt says so"
    assert open_.passages == (Passage("", "Open."),)
    assert fetched == [f"{url}/open.html"]


def test_a_server_is_settled_when_what_was_sent_to_it_is_counted(tmp_path: Path) -> None:
    write_site(tmp_path, {"index.html": page("Start", "Tea is hot.")})
    with SiteServer(tmp_path) as server:
        port = int(origin_of(server.url).rpartition(":")[2])
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")  # and hang up
        counts = server.settled()

    assert counts.started == {"/index.html": 5}


def test_a_host_that_does_not_answer_is_a_clear_failure() -> None:
    url = f"http://127.0.0.1:{closed_port()}/"
    with pytest.raises(SiteUnreachable, match=f"cannot read {url}: Connection refused"):
        fetch_page(url)


def test_a_first_page_that_is_none_is_told_to_the_model(tmp_path: Path) -> None:
    write_site(tmp_path, {"a.html": page("A", "About a.")})
    with SiteServer(tmp_path) as server:
        (answer,) = crawl(origin_of(server.url) + "/missing.html")

    assert answer.error is not None
    assert "holds no page: the site answered 404" in answer.error.message


def test_an_answer_that_is_no_http_is_a_clear_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk_nonsense() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=talk_nonsense)
        thread.start()
        port: int = listening.getsockname()[1]
        with pytest.raises(SiteUnreachable, match="cannot read"):
            fetch_page(f"http://127.0.0.1:{port}/")
        thread.join()


def test_a_redirect_to_another_site_is_not_followed() -> None:
    with answering(302, {"Location": "http://127.0.0.2:9/"}) as url:
        assert fetch_page(f"{url}/page").skipped == "the site answered 302"


def test_a_page_in_another_encoding_is_read() -> None:
    body = page("Caf\xe9", "Cr\xe8me br\xfbl\xe9e.").encode("latin-1")
    with answering(200, {"Content-Type": "text/html; charset=latin-1"}, body) as url:
        found = fetch_page(url)

    assert found.path == "/"
    assert found.title == "Caf\xe9"
    assert found.passages[0].text == "Cr\xe8me br\xfbl\xe9e."


@pytest.mark.parametrize("url", ["ftp://host/", "http://", "index.html", "http://host:port/"])
def test_what_is_no_address_of_a_site_is_refused(url: str) -> None:
    with pytest.raises(NotASite):
        origin_of(url)


def test_the_rules_of_another_machines_site_are_kept() -> None:
    rules = "User-agent: *\nDisallow: /private/\n"

    assert allowed(rules, "http://host/open.html")
    assert not allowed(rules, "http://host/private/a.html")
    assert allowed("", "http://host/private/a.html")
    assert is_loopback("http://localhost:80/")
    assert is_loopback("http://127.0.0.1/")
    assert not is_loopback("http://example.org/")


def test_only_the_text_of_a_page_is_read() -> None:
    content = read_html(
        """<!DOCTYPE html><title>Tab title</title><body>
        <nav><h1>Menu</h1><a href="/a">A</a></nav>
        <main><h1>Real &amp; title<a class="headerlink" href="#x">&para;</a></h1>
        <p>First <b>bold</b> words.<p>Second, unclosed
        <ul><li>Item <a href="b.html">b</a></ul>
        <pre>code()</pre><table><tr><td>cell</table><script>alert(1)</script>
        <h2>Part</h2><dl><dt>Term<dd>Its meaning.</dl></main>
        <footer>Imprint <a href="/a">again</a></footer>"""
    )

    assert content.title == "Real & title"
    assert content.passages == (
        Passage("Real & title", "First bold words."),
        Passage("Real & title", "Second, unclosed"),
        Passage("Real & title", "Item b"),
        Passage("Part", "Term: Its meaning."),
    )
    assert content.links == ("/a", "#x", "b.html")


def test_any_text_can_be_read_as_html() -> None:
    for text in ("", "plain text", "<", "</p></main>", "<main><p>", "<!-- <p> -->", "\x00<p>\x00"):
        read_html(text)
