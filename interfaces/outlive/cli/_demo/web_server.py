"""A web server for one folder on loopback, that counts what is fetched from it."""

from __future__ import annotations

import html
import mimetypes
import socket
import threading
from collections import Counter
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import msgspec

_INDEX: Final = "index.html"
_PATIENCE: Final = 2.0  # seconds
_Socket: TypeAlias = socket.socket | tuple[bytes, socket.socket]


class Counts(msgspec.Struct, frozen=True):
    """Fetches by path: those that began, and those that were answered in full."""

    started: dict[str, int]
    completed: dict[str, int]

    @property
    def in_flight(self) -> int:
        """How many began and were not answered in full: at work now, or broken off."""
        return sum(self.started.values()) - sum(self.completed.values())


class SiteServer:
    """Serves a folder at a port, 0 for one chosen by the system, from threads of its own.

    A folder without `index.html` shows a list of its pages. Nothing outside of the folder is
    served. Use it in `with`.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder: Final = folder.resolve()
        self._files = _Files(self.folder)
        self._tally = _Tally()
        self._server = _Server(self._files, self._tally, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="demo-site", daemon=True
        )

    @property
    def url(self) -> str:
        """The address to begin with."""
        return f"http://127.0.0.1:{self._server.server_port}{self._files.start}"

    def counts(self) -> Counts:
        """Return the counts as they are now."""
        return self._tally.counts()

    def settled(self) -> Counts:
        """Return the counts once all that was sent before this call is counted.

        A client that is dead may have left a request behind that nobody has read yet. Blocks,
        for some seconds at most; for use in a thread.
        """
        marker = HTTPConnection("127.0.0.1", self._server.server_port, timeout=_PATIENCE)
        try:
            # Connections are accepted in order: with the answer to this one, which is of no
            # page and not counted, those before it have been accepted.
            marker.request("HEAD", "/")
            marker.getresponse()
        except OSError:
            pass
        finally:
            marker.close()
        return self._tally.when_idle()

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Answer(msgspec.Struct, frozen=True):
    status: HTTPStatus
    content_type: str
    body: bytes
    location: str = ""


_NOT_FOUND: Final = _Answer(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")


class _Tally:
    """Counts, kept from the threads of the server."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._connections = 0
        self._started: Counter[str] = Counter()
        self._completed: Counter[str] = Counter()

    def connected(self) -> None:
        with self._lock:
            self._connections += 1

    def disconnected(self) -> None:
        with self._lock:
            self._connections -= 1
            self._lock.notify_all()

    def when_idle(self) -> Counts:
        with self._lock:
            self._lock.wait_for(lambda: not self._connections, _PATIENCE)
            return self._counts()

    def began(self, path: str) -> None:
        with self._lock:
            self._started[path] += 1

    def ended(self, path: str) -> None:
        with self._lock:
            self._completed[path] += 1

    def counts(self) -> Counts:
        with self._lock:
            return self._counts()

    def _counts(self) -> Counts:
        return Counts(dict(self._started), dict(self._completed))


class _Files:
    """What is answered for a path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start: Final = f"/{_INDEX}" if (folder / _INDEX).is_file() else "/"

    def answer(self, path: str) -> _Answer:
        """Return what is served at a path."""
        try:
            file = (self._folder / unquote(path).lstrip("/")).resolve()
            if not file.is_relative_to(self._folder):
                return _NOT_FOUND
            if not file.is_dir():
                content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                return _Answer(HTTPStatus.OK, content_type, file.read_bytes())
            if not path.endswith("/"):
                return _Answer(HTTPStatus.MOVED_PERMANENTLY, "text/plain", b"", f"{path}/")
            index = file / _INDEX
            body = index.read_bytes() if index.is_file() else self._listing(file)
            return _Answer(HTTPStatus.OK, "text/html; charset=utf-8", body)
        except (OSError, ValueError):
            return _NOT_FOUND

    def _listing(self, folder: Path) -> bytes:
        names = [
            f"{path.name}/" if path.is_dir() else path.name
            for path in sorted(folder.iterdir())
            if not path.name.startswith(".") and (path.is_dir() or is_page(path))
        ]
        items = "".join(
            f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>' for name in names
        )
        title = html.escape(folder.name)
        return f"<!DOCTYPE html><title>{title}</title><nav><ul>{items}</ul></nav>".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: _Files, tally: _Tally, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.files: Final = files
        self.tally: Final = tally

    def process_request(self, request: _Socket, client_address: object) -> None:
        """Answer in a thread; a connection is one from here on."""
        self.tally.connected()
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Socket) -> None:
        """Close a connection."""
        super().shutdown_request(request)
        self.tally.disconnected()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that was killed in the middle of a fetch is no news here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # the one that made it
    timeout = 10

    def do_GET(self) -> None:
        """Answer, and count."""
        path = urlsplit(self.path).path
        self.server.tally.began(path)
        answer = self.server.files.answer(path)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.location:
            self.send_header("Location", answer.location)
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()
        self.server.tally.ended(path)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the demo."""


def is_page(path: Path) -> bool:
    """Whether a file looks like an HTML page."""
    return path.suffix.lower() in (".html", ".htm", ".xhtml")
