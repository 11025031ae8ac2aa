"""The processes that get killed: an owner that runs agents, and an observer beside it.

Both write what they saw into files that outlive them, a line each, in one `write`. SIGKILL
takes nothing that `write` has taken, so the files are the outside world's account of what
happened, against which the log is held.
"""

from __future__ import annotations

import asyncio
import os
import random
from multiprocessing.connection import Connection
from pathlib import Path

from outlive.actors import (
    Agent,
    ModelRequest,
    Retry,
    Run,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    snapshots,
    tool,
)
from outlive.events import LmdbReader, RunCompleted, ToolCallCompleted, ToolStepCompleted
from outlive.events.ids import id_of

STEPS = 4
TURNS = 3


class Account:
    """A file that takes whole lines, also from a process that is killed meanwhile."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def line(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class Flaky(Exception):
    """What the outside world says now and then."""


def agent(account: Account) -> Agent:
    def body(run_id: str, call_id: str, attempt: int, key: str) -> None:
        account.line("body", run_id, call_id, attempt, key)

    @tool(idempotent=True, retry=Retry(1_000, delay=0.001, max_delay=0.002))
    async def walk(seed: int, ctx: ToolContext) -> list[int]:
        """Take a few steps, with the loop's turn between them."""
        body(ctx.run_id, ctx.call_id, ctx.attempt, ctx.idempotency_key)
        found: list[int] = []
        for number in range(STEPS):

            async def step(number: int = number) -> int:
                account.line("step", ctx.run_id, ctx.call_id, number)
                await asyncio.sleep(0)
                return seed * 100 + number

            found.append(await ctx.step(f"s{number}", step))
            account.line("stepped", ctx.run_id, ctx.call_id, number)
            if (seed + number + ctx.attempt) % 7 == 0:
                raise Flaky(f"attempt {ctx.attempt}")
        await ctx.progress(done=STEPS, total=STEPS)
        return found

    @tool(idempotent=True)
    def dig(seed: int, ctx: SyncToolContext) -> list[int]:
        """The same in a thread."""
        body(ctx.run_id, ctx.call_id, ctx.attempt, ctx.idempotency_key)
        found: list[int] = []
        for number in range(STEPS):

            def step(number: int = number) -> int:
                account.line("step", ctx.run_id, ctx.call_id, number)
                return seed * 100 + number

            found.append(ctx.step(f"s{number}", step))
            account.line("stepped", ctx.run_id, ctx.call_id, number)
        return found

    def script(request: ModelRequest) -> Turn:
        if request.step == TURNS:
            return Turn(text=f"{request.run_id} has walked and dug", delay=0.0)
        calls = [ToolCall("walk", {"seed": request.step}), ToolCall("dig", {"seed": request.step})]
        return Turn(text="so far so good", tool_calls=calls)

    return Agent("mole", model=ScriptedModel(script), tools=[walk, dig])


def owner(folder: str, pipe: Connection, seed: int, until_done: bool) -> None:
    """Start runs and take up old ones; tell the parent what was acknowledged."""
    if seed % 2:  # Every other owner saves states, as many as can be; all make use of them.
        snapshots.EVERY_EVENTS = 3
    asyncio.run(_owner(Path(folder), pipe, random.Random(seed), until_done))


async def _owner(folder: Path, pipe: Connection, rng: random.Random, until_done: bool) -> None:
    account = Account(folder / "account")
    async with Runtime(folder / "data", agents=[agent(account)], max_recoveries=None) as rt:
        if until_done:
            for stream, _ in rt.log.open_entries():
                await rt.result(id_of(stream), timeout=60)
            for run_id in (folder / "ids").read_text().split():
                run = await rt.start("mole", f"task of {run_id}", run_id=run_id)
                result = await run.result(timeout=60)
                pipe.send(("result", run_id, result.status, result.output))
            return

        async def one(number: int) -> None:
            run_id = f"r{number}"
            run = await rt.start("mole", f"task of {run_id}", run_id=run_id)
            pipe.send(("started", run_id))
            await watch(run, account)
            result = await run.result()
            pipe.send(("result", run_id, result.status, result.output))

        first = rng.randrange(10_000)
        numbers = [*range(first, first + 6), *(rng.randrange(10_000) for _ in range(2))]
        pipe.send(("open",))
        tasks = [asyncio.create_task(one(number)) for number in dict.fromkeys(numbers)]
        for task in tasks:
            await task


async def watch(run: Run, account: Account) -> None:
    """Write down what was seen to be durable."""
    async for recorded in run.events():
        match recorded.event:
            case ToolCallCompleted(call_id=call_id):
                account.line("completed", run.id, call_id)
            case ToolStepCompleted(call_id=call_id, key=key):
                account.line("stepped", run.id, call_id, key.removeprefix("s"))
            case RunCompleted():
                account.line("over", run.id)
            case _:
                pass


def observer(folder: str, pipe: Connection) -> None:
    """Follow the log, whoever writes it, until the parent says how far."""
    asyncio.run(_observer(Path(folder), pipe))


async def _observer(folder: Path, pipe: Connection) -> None:
    account = Account(folder / "observed")
    reader = LmdbReader(folder / "data")
    pipe.send("ready")
    last: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def hear() -> None:
        try:
            last.set_result(pipe.recv())
        except EOFError:
            os._exit(1)  # The test is over, one way or the other.

    asyncio.get_running_loop().add_reader(pipe.fileno(), hear)
    async with reader.follow_all() as records:

        async def follow() -> None:
            async for record in records:
                for recorded in record.recorded():
                    account.line(recorded.stream, recorded.version, recorded.position)
                seen.append(record.position)
                if last.done() and record.position >= last.result():
                    return

        seen: list[int] = [0]
        following = asyncio.create_task(follow())
        head = await last
        if seen[-1] < head:
            await following
    reader.close()
    pipe.send("done")
