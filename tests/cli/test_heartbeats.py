"""`outlive heartbeats ...` creates, shows and steers them, beside their owner or without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import Agent, EchoModel, HeartbeatHooks, Runtime
from outlive.cli._app import run
from outlive.cli._exit import FAILED, NO_LOG, NOT_FOUND, OK, USAGE

Say = Callable[..., str]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLIVE_DATA", raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A log that nobody owns at the moment."""
    asyncio.run(owned(tmp_path))
    return tmp_path


async def owned(data: Path) -> None:
    """Own the log until nothing is in its inbox any more."""
    hooks = HeartbeatHooks(named={"digest": HeartbeatHooks()})
    agents = [Agent("echo", model=EchoModel())]
    async with Runtime(data, agents=agents, heartbeat_hooks=hooks) as rt:
        await rt.run("echo", "hello", run_id="first")
        await rt.heartbeats.list()


@pytest.fixture
def say(data: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run `outlive heartbeats` on that log, and return what it prints."""

    def printed(*arguments: str, code: int = OK) -> str:
        assert run(["heartbeats", *arguments, "--data", str(data)]) == code
        return capsys.readouterr().out

    return printed


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


CREATE = ("create", "My digest", "--agent", "echo", "--prompt", "Sum up.", "--timezone", "UTC")


def test_what_is_created_is_listed_shown_steered_and_deleted(data: Path, say: Say) -> None:
    assert say(*CREATE, "--cron", "0 9 * * *", "--jitter", "5m", "--by", "me") == "hb_my-digest\n"
    # It waits in the inbox, and so does what is said of it.
    assert say("pause", "my digest", "--reason", "holidays", "--by", "me").startswith("submitted")
    asyncio.run(owned(data))

    listed = say("list")
    assert "hb_my-digest" in listed
    assert "paused" in listed
    assert "0 9 * * * UTC" in listed
    [info] = lines(say("list", "--json"))
    assert (info["status"], info["reason"], info["agent_id"]) == ("paused", "holidays", "echo")
    assert say("upcoming", "my-digest") == ""

    say("resume", "my-digest")
    say("update", "my-digest", "--every", "90m", "--max-failures", "3", "--hook", "digest")
    run_id = say("run", "my-digest").strip()
    asyncio.run(owned(data))

    shown = say("show", "my-digest")
    for text in ("active", "every 1h30", "echo", "Sum up.", "digest", run_id):
        assert text in shown
    [facts] = lines(say("show", "my-digest", "--json"))
    assert facts["heartbeat"]["max_failures"] == 3
    assert len(facts["upcoming"]) == 3
    assert len(say("upcoming", "my-digest", "4").splitlines()) == 4
    fires = say("fires", "my-digest")
    assert "fired" in fires
    assert "by hand" in fires
    [fire] = lines(say("fires", "my-digest", "--json"))
    assert (fire["kind"], fire["run_id"]) == ("manual", run_id)
    assert lines(say("fires", "my-digest", "--decision", "missed", "--json")) == []

    say("delete", "my-digest")
    asyncio.run(owned(data))
    assert say("list") == ""
    assert "deleted" in say("list", "--status", "deleted")


def test_what_waits_for_an_owner_is_said_to_wait(
    data: Path, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    def heard(*arguments: str, code: int = OK) -> tuple[str, str]:
        assert run(["heartbeats", *arguments, "--data", str(data)]) == code
        return capsys.readouterr()

    say(*CREATE, "--cron", "@daily")
    for look in ("show", "fires", "upcoming"):
        assert "has not begun: it waits for an owner" in heard(look, "my digest", code=NOT_FOUND)[1]
    asyncio.run(owned(data))

    out, complaint = heard("update", "my digest", "--prompt", "Sum up again.")
    assert (out, "waits until an owner" in complaint) == (
        "submitted; updated: hb_my-digest\n",
        True,
    )
    out, complaint = heard("run", "my digest")
    assert "waits until an owner" in complaint
    [said] = lines(say("run", "my digest", "--json"))
    assert said["submitted"] is True
    asyncio.run(owned(data))
    assert len(lines(say("fires", "my digest", "--json"))) == 2


def test_all_that_is_said_of_one_is_kept_and_shown(data: Path, say: Say) -> None:
    bounds = ("--ends-at", "2099-01-01T08:30:00Z", "--max-fires", "7", "--max-failures", "3")
    lengths = ("--jitter", "5m", "--timeout", "90s", "--grace", "2h")
    objects = ("--metadata", '{"team": "a"}', "--request-context", '{"user": "b"}')
    more = ("--provider-options", '{"effort": "low"}', "--name", "digest", "--tools", ",")
    say(*CREATE, "--cron", "@daily", *bounds, *lengths, *objects, *more)
    asyncio.run(owned(data))

    shown = say("show", "my-digest")
    for text in (
        "2099-01-01 08:30:00",
        "max fires     7",
        "max failures  3",
        "jitter        5m00",
        "timeout       1m30",
        "one, not after 2h00",
        "tools         none",
        '{"team":"a"}',
        '{"user":"b"}',
        '{"effort":"low"}',
    ):
        assert text in shown
    [info] = lines(say("list", "--json"))
    assert (info["metadata"], info["request_context"]) == ({"team": "a"}, {"user": "b"})
    assert info["provider_options"] == {"effort": "low"}
    say(*CREATE, "--cron", "@daily", "--request-context", "{", code=USAGE)


def test_one_on_a_thread_is_created_shown_and_found_by_it(data: Path, say: Say) -> None:
    thread = ("--thread", "t", "--resource", "u", "--type", "state", "--tag", "news")
    how = ("--attributes", '{"a": 1}', "--if-active", "persist", "--if-idle", "discard")
    say(*CREATE, "--cron", "@daily", *thread, *how)
    say("run", "my-digest")
    asyncio.run(owned(data))

    [info] = lines(say("list", "--thread", "t", "--json"))
    assert (info["thread_id"], info["resource_id"], info["tag_name"]) == ("t", "u", "news")
    assert (info["signal_type"], info["attributes"]) == ("state", {"a": 1})
    assert info["if_active"]["behaviour"] == "persist"
    assert say("list", "--resource", "nobody") == ""
    assert "t of u (active: persist, idle: discard)" in say("show", "my-digest")
    [fire] = lines(say("fires", "my-digest", "--json"))
    assert (fire["decision"], fire["thread_id"]) == ("fired", "t")


@pytest.mark.parametrize(
    "arguments",
    [
        (*CREATE, "--every", "1h", "--thread", "t"),
        (*CREATE, "--every", "1h", "--tag", "news"),
        (*CREATE, "--every", "1h", "--thread", "t", "--resource", "u", "--tag", "a b"),
        (*CREATE, "--every", "1h", "--thread", "t", "--resource", "u", "--attributes", "[1]"),
        ("create", "--agent", "echo", "--prompt", "p"),  # no schedule
        (*CREATE, "--cron", "61 * * * *"),
        (*CREATE, "--every", "often"),
        (*CREATE, "--every", "0s"),
        (*CREATE, "--at", "tomorrow"),
        (*CREATE, "--every", "1h", "--cron", "@daily"),
        ("create", "--task", "sync", "--args", "[1]", "--every", "1h"),
        ("create", "!!", "--agent", "echo", "--prompt", "p", "--every", "1h"),
        ("update", "first"),
        ("list", "--limit", "0"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    say: Say, arguments: tuple[str, ...]
) -> None:
    assert say(*arguments, code=USAGE) == ""
    assert say("list") == ""


def test_of_what_is_not_there_it_says_so(say: Say, tmp_path: Path) -> None:
    for command in ("show", "fires", "upcoming", "pause", "resume", "run", "delete"):
        assert say(command, "nobody", code=NOT_FOUND) == ""
    assert run(["heartbeats", "list", "--data", str(tmp_path / "nowhere")]) == NO_LOG


def test_an_id_that_is_taken_is_refused(data: Path, say: Say) -> None:
    say(*CREATE, "--cron", "@daily")
    asyncio.run(owned(data))
    assert say(*CREATE, "--cron", "@daily", code=FAILED) == ""
