"""One folder shared by two web workers. Either may be killed; no run is lost.

    pip install outlive uvicorn
    uvicorn --app-dir examples/two_workers app:app --workers 2

    curl -X POST 'localhost:8000/runs/first?input=hello'
    curl localhost:8000/runs/first

One worker owns the log and does the work, the other one hands its starts over and reads along.
When the owner dies, the other one takes over and finishes what was running; uvicorn starts a
new worker, which stands by from then on. There is nothing to configure, and no server between.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from outlive.actors import Agent, Runtime, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.events import NotFound, Refused

Message = MutableMapping[str, Any]


@tool(idempotent=True)
async def think(ctx: ToolContext) -> str:
    """Take as long as PAUSE says, in seconds."""
    await asyncio.sleep(float(os.environ.get("PAUSE", "0.1")))
    return "thought"


# Stands for a model that calls the tool once, then answers.
model = ScriptedModel(
    lambda request: Turn("done") if request.step else Turn(tool_calls=[ToolCall("think", {})])
)
runtime = Runtime(
    os.environ.get("DATA", "outlive-data"),
    agents=[Agent("thinker", model=model, tools=[think])],
    lease=float(os.environ.get("LEASE", "5")),
)


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer `POST /runs/ID?input=TEXT`, `GET /runs/ID` and `GET /`."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    status, answer = await handle(scope)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def lifespan(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Open the runtime with the worker, and close it with the worker."""
    await receive()
    async with runtime:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def handle(scope: Message) -> tuple[int, dict[str, object]]:
    """Return status and answer."""
    who: dict[str, object] = {"pid": os.getpid(), "role": runtime.role}
    match scope["method"], scope["path"].strip("/").split("/"):
        case "GET", [""]:
            return 200, who
        case "POST", ["runs", run_id]:
            text = parse_qs(scope["query_string"].decode()).get("input", [""])[0]
            try:
                run = await runtime.start("thinker", text, run_id=run_id)
            except Refused as error:
                return 409, {"error": str(error)}
            return 202, who | {"run": run.id, "submitted": run.submitted}
        case "GET", ["runs", run_id]:
            try:
                result = await runtime.result(run_id)
            except NotFound as error:
                return 404, {"error": str(error)}
            return 200, who | {"status": result.status, "output": result.output}
        case _:
            return 404, {"error": "no such page"}
