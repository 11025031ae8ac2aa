"""The example of two web workers on one folder, with real workers that are really killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_workers"


class Service:
    """`uvicorn --workers 2` on a port of its own."""

    def __init__(self, data: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._log = (data.parent / "uvicorn.log").open("wb")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE), "app:app"),
                *("--workers", "2", "--port", str(self._port)),
            ],
            env={**os.environ, "DATA": str(data), "LEASE": "1", "PAUSE": "0.2"},
            stdout=self._log,
            stderr=self._log,
        )

    def ask(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """Ask until somebody answers: the worker that was asked may have just been killed."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request(method, path)
                response = connection.getresponse()
                return response.status, json.loads(response.read())
            except (OSError, http.client.HTTPException):
                assert self.process.poll() is None
            finally:
                connection.close()

    def workers(self) -> dict[str, int]:
        """Return the ids of the owner and the visitor, once both have answered."""
        found: dict[str, int] = {}
        while set(found) != {"owner", "visitor"}:
            _, who = self.ask("GET", "/")
            found = {role: pid for role, pid in found.items() if pid != who["pid"]}
            found[who["role"]] = who["pid"]
        return found

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path / "data")
    yield running
    running.end()


@pytest.mark.parametrize("role", ["owner", "visitor"])
def test_whichever_worker_is_killed_every_run_comes_to_its_end(service: Service, role: str) -> None:
    victim = service.workers()[role]
    for number in range(5):
        status, answer = service.ask("POST", f"/runs/r{number}?input=hello")
        assert (status, answer["submitted"]) == (202, False)
    os.kill(victim, signal.SIGKILL)
    status, answer = service.ask("POST", "/runs/late?input=hello")
    assert status == 202
    for run_id in ("r0", "r1", "r2", "r3", "r4", "late"):
        status, answer = service.ask("GET", f"/runs/{run_id}")
        assert (status, answer["status"], answer["output"]) == (200, "completed", "done")
    status, answer = service.ask("POST", "/runs/r0?input=other")
    assert status == 409
    assert service.ask("GET", "/runs/nobody")[0] == 404
