"""`outlive threads send`: what a user says, through the inbox, to the process that owns the log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from outlive.actors import Runtime, SignalAccepted
from outlive.cli._exit import OK, Wrong, complain
from outlive.cli._json import plain, print_json
from outlive.cli._saying import say
from outlive.cli._text import printable
from outlive.events import InvalidSignal


def send_message(
    data: Path,
    thread_id: str,
    text: str,
    *,
    agent: str | None,
    resource: str | None,
    queue: bool,
    key: str | None,
    json: bool,
) -> int:
    """Say something on a thread, and print what becomes of it.

    Raises what `Runtime.send_message` raises, Wrong.
    """

    async def visit() -> SignalAccepted:
        async with Runtime(data, role="visitor") as rt:
            send = rt.queue_message if queue else rt.send_message
            return await send(
                text, thread_id=thread_id, resource_id=resource, agent=agent, idempotency_key=key
            )

    try:
        accepted = asyncio.run(visit())
    except (InvalidSignal, ValueError) as error:
        raise Wrong(str(error)) from None
    if json:
        print_json(plain(accepted))
    else:
        whose = "" if accepted.run_id is None else f": run {printable(accepted.run_id)}"
        print(f"{accepted.action}{whose}")
    if accepted.action == "submitted":
        complain("no process that owns the log has taken it up: it waits until an owner is up")
    return OK


def release_thread(data: Path, thread_id: str, *, json: bool) -> int:
    """Release a thread. Raises what `Runtime.threads.release` raises."""
    facts: dict[str, object] = {"thread_id": thread_id, "said": "released"}
    done = f"released: thread {thread_id!r}"
    return say(data, lambda rt: rt.threads.release(thread_id), done, facts, json=json)
