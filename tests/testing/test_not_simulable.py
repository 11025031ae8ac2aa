"""What a simulation has no power over fails it, whatever the tool makes of that."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outlive.actors import Agent, ScriptedModel, SyncToolContext, ToolCall, ToolContext, Turn, tool
from outlive.testing import Client, NotSimulable, Simulation, SimulationFailed
from outlive.testing import assert_survives_crashes as sweep
from outlive.testing._simulation import baton

Try = Callable[[], object]

REAL: dict[str, Try] = {
    "socket.socket": socket.socket,
    "socket.getaddrinfo": lambda: socket.create_connection(("localhost", 9)),
    "socket.gethostbyname": lambda: socket.gethostbyname("localhost"),
    "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
    "threading.Thread.start": lambda: threading.Thread(target=int).start(),
}


def agents(body: Callable[..., Any]) -> list[Agent]:
    """An agent with a tool that does this, and goes on if it cannot."""
    script = [Turn(tool_calls=[ToolCall("do")]), Turn("done")]
    return [
        Agent("agent", model=ScriptedModel(script), tools=[tool(name="do", in_doubt="retry")(body)])
    ]


async def one_run(client: Client) -> str:
    return (await client.run("agent", "go", run_id="one")).output


@pytest.mark.parametrize("call", REAL)
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_tool_that_catches_it_is_not_taken_for_one_that_works(call: str, kind: str) -> None:
    def carefully() -> str:
        try:
            return str(REAL[call]())
        except Exception:  # noqa: BLE001  # as a tool does that is careful
            return "out of order"

    async def carefully_on_the_loop(ctx: ToolContext) -> str:
        return carefully()

    body = carefully if kind == "sync" else carefully_on_the_loop
    with pytest.raises(SimulationFailed, match=rf"NotSimulable: {call} cannot be simulated"):
        sweep(one_run, agents(body))


def test_a_connection_of_the_loop_is_refused_too() -> None:
    async def connect(ctx: ToolContext) -> str:
        await asyncio.open_connection("localhost", 9)
        return "connected"

    with pytest.raises(NotSimulable, match="create_connection"), Simulation(agents(connect)) as sim:
        sim.result(sim.start("agent", "go"))


def test_a_socket_that_was_there_before_is_of_no_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:

        async def send(ctx: ToolContext) -> str:
            there.sendto(b"x", ("127.0.0.1", 9))
            return "sent"

        with pytest.raises(NotSimulable, match="sendto"), Simulation(agents(send)) as sim:
            sim.result(sim.start("agent", "go"))


def test_threads_that_were_there_before_are_of_no_use() -> None:
    with ThreadPoolExecutor(1) as there:
        there.submit(int).result()

        async def work(ctx: ToolContext) -> str:
            return str(await asyncio.get_running_loop().run_in_executor(there, int))

        with pytest.raises(NotSimulable, match="run_in_executor"), Simulation(agents(work)) as sim:
            sim.result(sim.start("agent", "go"))


def test_a_thread_that_does_not_come_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baton, "PATIENCE", 0.01)
    over = threading.Event()

    def wait(ctx: SyncToolContext) -> str:
        over.wait(30)
        return "at last"

    try:
        with pytest.raises(NotSimulable, match=r"World\.sleep"), Simulation(agents(wait)) as sim:
            sim.result(sim.start("agent", "go"))
    finally:
        over.set()


def test_the_test_itself_may_use_what_is_real() -> None:
    async def scenario(client: Client) -> str:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        socket.socket().close()
        return await one_run(client)

    with Simulation(agents(_harmless)) as sim:
        assert sim.drive(scenario(sim.client)) == "done"


async def _harmless(ctx: ToolContext) -> str:
    return await asyncio.to_thread(lambda: "in a thread of the simulation")


def test_a_simulation_that_is_interrupted_in_a_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[object] = []

    def interrupted(worker: object) -> bool:
        turns.append(worker)
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{baton.__name__}._Worker.hand_over", interrupted)

    def work(ctx: SyncToolContext) -> str:
        return "never"

    with pytest.raises(KeyboardInterrupt), Simulation(agents(work)) as sim:
        sim.result(sim.start("agent", "go"))
    assert len(turns) == 1
