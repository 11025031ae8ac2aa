"""A process that shares a log's folder with others, and does what it is told through a pipe."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from outlive.actors import (
    Agent,
    EchoModel,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import OutliveError, RunRecovered, UserMessage
from outlive.projections import RunResult
from outlive.testing.kills import kill_me_at

LEASE = 60.0
"""Of one that is the owner until it dies, however slow its machine is. The lock tells at once."""
SHORT = 0.5
"""Of one that is to be frozen: others take over when this has passed."""


def agent(slow: float, pipe: Connection, go_on: asyncio.Event | None = None) -> Agent:
    """An agent that calls one tool, which takes so many seconds, if any, and says so.

    Or it takes until `go_on` is set.
    """

    @tool(idempotent=True)
    async def work(ctx: ToolContext) -> str:
        """Take a while."""
        if slow:
            pipe.send(("working", ctx.run_id))
            with suppress(TimeoutError):
                await asyncio.wait_for((go_on or asyncio.Event()).wait(), slow)
        return "worked"

    return Agent(
        "worker",
        model=ScriptedModel([Turn(tool_calls=[ToolCall("work", {})]), Turn(text="done")]),
        tools=[work],
    )


@tool(in_doubt="retry")
async def ask(ctx: ToolContext) -> int:
    """Ask how many."""
    return await ctx.suspend("how many", answer_type=int)


@tool(in_doubt="retry", requires_approval=True)
async def publish(text: str = "one") -> str:
    """Publish something."""
    return f"published {text}"


def asking() -> Agent:
    """An agent that asks a question, and wants to publish something."""
    calls = [ToolCall("ask"), ToolCall("publish")]
    model = ScriptedModel([Turn(tool_calls=calls), Turn(text="done")])
    return Agent("asking", model=model, tools=[ask, publish])


def member(pipe: Connection, folder: str, options: dict[str, Any]) -> None:
    """Open the folder, say in which role, then obey until told to close."""
    asyncio.run(_member(Path(folder), pipe, **options))


async def _member(
    folder: Path,
    pipe: Connection,
    *,
    role: Any = "auto",
    slow: float = 0.0,
    agents: bool = True,
    lease: float = LEASE,
    die_at: tuple[str, int] | None = None,
) -> None:
    if die_at is not None:
        kill_me_at(*die_at)
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    loop.add_reader(pipe.fileno(), lambda: told.put_nowait(pipe.recv()))
    try:
        go_on = asyncio.Event()
        known = [agent(slow, pipe, go_on), asking(), Agent("echo", model=EchoModel())]
        rt = await Runtime(
            folder, agents=known if agents else [], role=role, lease=lease
        ).__aenter__()
    except OutliveError as error:
        pipe.send(("error", type(error).__name__, str(error)))
        return
    pipe.send(("open", rt.role))
    tasks: list[asyncio.Task[None]] = []
    while True:
        word, *rest = await told.get()
        if word == "close":
            break
        if word == "go on":
            go_on.set()
            continue
        tasks.append(asyncio.create_task(_obey(rt, pipe, word, rest)))
    await rt.close()
    pipe.send(("closed",))


async def _obey(rt: Runtime, pipe: Connection, word: str, rest: list[Any]) -> None:
    try:
        match word, rest:
            case "role", []:
                pipe.send(("role", rt.role))
            case "start", [run_id, agent_id]:
                run = await rt.start(agent_id, f"task of {run_id}", run_id=run_id)
                pipe.send(("started", run_id, run.submitted))
            case "start and wait", [run_id, agent_id, text]:
                run = await rt.start(agent_id, text, run_id=run_id)
                pipe.send(("started", run_id, run.submitted))
                pipe.send(("result", run_id, (await run.result()).status))
            case "result", [run_id]:
                result: RunResult = await rt.result(run_id)
                pipe.send(("result", run_id, result.status))
            case "steer", [how, run_id, *values, more]:
                done = await getattr(rt, how)(run_id, *values, **more)
                pipe.send(("steered", how, done))
            case "enqueue", [key]:
                task_id = await rt.tasks.enqueue("ask", agent="asking", idempotency_key=key)
                pipe.send(("enqueued", task_id))
            case "task", [task_id]:
                task = await rt.tasks.get(task_id)
                pipe.send(("task", task.status, task.result))
            case "wait for task", [task_id]:
                [task] = await rt.tasks.wait(task_id)
                outcomes = [attempt.outcome for attempt in task.attempts]
                pipe.send(("task over", task.status, task.result, outcomes))
            case "steer task", [how, task_id, *values, more]:
                done = await getattr(rt.tasks, how)(task_id, *values, **more)
                pipe.send(("steered", how, done))
            case "start on", [run_id, thread_id, more]:
                run = await rt.start("worker", run_id, run_id=run_id, thread_id=thread_id, **more)
                pipe.send(("started", run.id, run.submitted))
            case "signal", [contents, thread_id, more]:
                accepted = await rt.signal(contents, thread_id=thread_id, **more)
                pipe.send(("signalled", accepted.action, accepted.run_id))
            case "said", [thread_id]:
                async with aclosing(rt.threads.observe(thread_id)) as events:
                    async for _ in events:
                        if (await rt.threads.get(thread_id)).status == "idle":
                            break
                said = await rt.threads.messages(thread_id, limit=1_000)
                texts = [one.message.text for one in said if isinstance(one.message, UserMessage)]
                pipe.send(("said", texts))
            case "create heartbeat", [id, fields]:
                created = await rt.heartbeats.create(id=id, **fields)
                pipe.send(("created", created.id, created.status))
            case "pending", []:
                waiting = await rt.runs.pending()
                pipe.send(("pending", [(one.suspension, one.kind) for one in waiting]))
            case "save", [name, count]:
                async with rt.subscription(name) as records:
                    for _ in range(count):
                        record = await anext(records)
                        await records.save()
                        pipe.send(("saved", int(record.position)))
            case "get", [run_id]:
                info = await rt.runs.get(run_id)
                pipe.send(("get", run_id, info.status, info.agent_id, info.input))
            case "list", []:
                page = await rt.runs.list(limit=1_000)
                pipe.send(("list", sorted((info.run_id, info.status) for info in page.runs)))
            case "observe", [run_id]:
                versions: list[int] = []
                recovered = 0
                async for recorded in rt.observe(run_id):
                    versions.append(recorded.version)
                    recovered += isinstance(recorded.event, RunRecovered)
                pipe.send(("observed", run_id, versions, recovered))
            case _:
                raise AssertionError((word, rest))
    except OutliveError as error:
        typed = word.startswith("steer") or word in ("start on", "signal")
        facts = vars(error) if typed else str(error)
        pipe.send(("error", type(error).__name__, facts))
