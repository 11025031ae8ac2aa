"""Tools for processes of their own: a worker imports them from here."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from outlive.actors import Retry, SyncToolContext, ToolContext, tool


def negated(number: int) -> int:
    """Return the other one."""
    return -number


@tool(isolation="process", read_only=True)
def whoami(ctx: SyncToolContext, n: int) -> list[int]:
    """Tell which process this is, after some steps and progress."""
    done = [ctx.step(f"step {number}", negated, -number) for number in range(n)]
    ctx.progress(done=n, total=n, note="told")
    return [os.getpid(), os.getppid(), *done]


@tool(isolation="process", read_only=True)
async def gathers(ctx: ToolContext, n: int) -> list[int]:
    """Do steps at once, on the worker's own loop."""

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    return list(await asyncio.gather(*(ctx.step(f"s{i}", double, i) for i in range(n))))


@tool(isolation="process", in_doubt="retry", retry=1)
def dies_once(ctx: SyncToolContext, how: str) -> str:
    """Come to a sudden end on the first attempt, after a step."""
    ctx.step("once", str, "kept")
    if ctx.attempt == 1:
        if how == "exit":
            os._exit(7)
        os.kill(os.getpid(), signal.SIGKILL)
    return f"attempt {ctx.attempt}"


@tool(isolation="process", in_doubt="fail", retry=3)
def dies_in_doubt() -> None:
    """Come to a sudden end."""
    os.kill(os.getpid(), signal.SIGKILL)


@tool(isolation="process", in_doubt="fail", timeout=10)
def hangs(pid_file: str) -> None:
    """Say who it is, have a child, and never come back."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid_file).write_text(f"{os.getpid()} {child.pid}")
    while True:
        time.sleep(600)


@tool(isolation="process", in_doubt="fail")
def waits(pid_file: str) -> None:
    """Say who it is, and wait for its end."""
    Path(pid_file).with_suffix(".new").write_text(str(os.getpid()))
    Path(pid_file).with_suffix(".new").rename(pid_file)
    time.sleep(600)


@tool(isolation="process", read_only=True, retry=Retry(1, delay=0, retry_on=("OSError",)))
def raises(what: str) -> None:
    """Raise."""
    errors = {"error": ValueError("no good"), "exit": SystemExit(3), "refused": BrokenPipeError()}
    raise errors[what]


@tool(isolation="process", read_only=True)
def returns_much(size: int) -> str:
    """Return so many characters."""
    return "x" * size


@tool(isolation="process", read_only=True)
def misbehaves() -> str:
    """Print, close what it should not, leave threads, a child and a fork behind."""
    print("noise " * 10_000)
    os.closerange(0, 3)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if os.fork() == 0:
        return "the child's"
    return "the parent's"


@tool(isolation="process", read_only=True)
def returns_nonsense() -> Any:
    """Return what cannot be stored."""
    return object()


def plain(a: int) -> int:
    """Be a plain function, of which the test makes a tool."""
    return a + 1


def wants_deps(ctx: SyncToolContext) -> int:
    """Read what is not there."""
    return int(ctx.deps.number)


def wants_deps_deep_inside(ctx: SyncToolContext) -> int:
    """Read what is not there, in a function within."""

    def inner() -> int:
        return int(ctx.deps.number)

    return inner()
