"""A heartbeat's settings: what can hold together, what changes make of them, and one fire."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from outlive.actors.heartbeat.commands import HeartbeatChanges
from outlive.actors.heartbeat.settled import changed, check, check_fire, same_schedule
from outlive.events import (
    FireOverrides,
    HeartbeatSettings,
    IfIdle,
    InvalidCron,
    InvalidHeartbeat,
    InvalidSignal,
    OutliveError,
    ResourceIdRequired,
    TextPart,
    ThreadlessOption,
)
from outlive.events.heartbeat import overridden
from tests.support.heartbeats import EVERY_MINUTE, MINUTE, ON_A_THREAD

# -- settings that cannot hold --


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"every_ns": 0}, InvalidHeartbeat, "say one of cron, every and at, not none of them"),
        (
            {"cron": "* * * * *", "at_ns": 1},
            InvalidHeartbeat,
            "say one of cron, every and at, not cron and every and at",
        ),
        (
            {"every_ns": 0, "cron": "* * * * *", "timezone": "Mars/Base"},
            InvalidCron,
            "this machine knows no time zone 'Mars/Base'",
        ),
        (
            {"jitter_ns": MINUTE},
            InvalidHeartbeat,
            r"jitter: it is less than the time between two fires \(every\)",
        ),
        (
            {"starts_at_ns": 2, "ends_at_ns": 1},
            InvalidHeartbeat,
            "ends_at: it is not before starts_at",
        ),
        ({"prompt": " \n"}, InvalidHeartbeat, "prompt: text or parts that are not empty"),
        (
            {"arguments": {"n": 1}},
            InvalidHeartbeat,
            r"args: they are for a heartbeat that calls a tool \(task\)",
        ),
        *[
            (
                {"prompt": "", "tool": "t", **given},
                InvalidHeartbeat,
                rf"{name}: a heartbeat that calls a tool \(task\) has none",
            )
            for name, given in (
                ("prompt", {"prompt": "p"}),
                ("prompt", {"parts": (TextPart("p"),)}),
                ("tools", {"tools": ("u",)}),
                ("provider_options", {"provider_options": {"k": 1}}),
                ("thread_id", {"thread_id": "t", "resource_id": "u"}),
            )
        ],
        *[
            (given, ThreadlessOption, f"{name}: it is about a thread; say thread_id, too")
            for name, given in (
                ("resource_id", {"resource_id": "u"}),
                ("signal_type", {"signal_type": "user"}),
                ("tag_name", {"tag_name": "tick"}),
                ("attributes", {"attributes": {"k": 1}}),
                ("if_idle", {"if_idle": IfIdle()}),
            )
        ],
        (
            {"thread_id": "t"},
            ResourceIdRequired,
            "resource_id: say to whom the thread of thread_id belongs",
        ),
        (
            {"thread_id": "t", "resource_id": "u", "request_context": {"k": 1}},
            InvalidHeartbeat,
            r"request_context: with a thread it is that of if_idle=IfIdle\(...\)",
        ),
        (
            {"thread_id": "t", "resource_id": "u", "provider_options": {"k": b"x"}},
            InvalidHeartbeat,
            "provider_options: JSON values, and that of 'k' is none",
        ),
    ],
)
def test_settings_that_cannot_hold_are_refused_with_the_reason(
    settings: dict[str, Any], error: type[OutliveError], words: str
) -> None:
    with pytest.raises(error, match=f"^{words}$"):
        check(replace(EVERY_MINUTE, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"jitter_ns": MINUTE - 1},
        {"every_ns": 0, "cron": "* * * * *", "jitter_ns": MINUTE},
        {"starts_at_ns": 1, "ends_at_ns": 1},
        {"starts_at_ns": 1},
        {"ends_at_ns": 1},
        {"prompt": "", "parts": (TextPart("p"),)},
        {"prompt": "", "tool": "t", "arguments": {"n": 1}, "request_context": {"k": 1}},
        {"thread_id": "t", "resource_id": "u", "if_idle": IfIdle(), "attributes": {"k": 1}},
    ],
)
def test_settings_that_hold(settings: dict[str, Any]) -> None:
    check(replace(EVERY_MINUTE, **settings))


def test_one_schedule_takes_the_place_of_another() -> None:
    at = changed(EVERY_MINUTE, HeartbeatChanges(at_ns=5))
    assert (at.cron, at.every_ns, at.at_ns) == ("", 0, 5)
    cron = changed(at, HeartbeatChanges(cron="* * * * *", timezone="Europe/Berlin"))
    assert (cron.cron, cron.every_ns, cron.at_ns) == ("* * * * *", 0, None)
    assert cron.timezone == "Europe/Berlin"
    every = changed(cron, HeartbeatChanges(every_ns=7))
    assert (every.cron, every.every_ns, every.at_ns) == ("", 7, None)
    with pytest.raises(
        InvalidHeartbeat, match=r"^timezone: it is that of cron, and there is none$"
    ):
        changed(EVERY_MINUTE, HeartbeatChanges(timezone="Europe/Berlin"))


def test_another_prompt_takes_the_place_of_parts_and_the_rest_stays() -> None:
    parts = replace(EVERY_MINUTE, prompt="p", parts=(TextPart("p"),), name="n")
    plain = changed(parts, HeartbeatChanges(prompt="q"))
    assert (plain.prompt, plain.parts, plain.name, plain.every_ns) == ("q", (), "n", MINUTE)
    named = changed(parts, HeartbeatChanges(name="m"))
    assert (named.parts, named.name) == (parts.parts, "m")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"prompt": "q", "misfire": "all", "jitter_ns": 1, "max_fires": 1}, True),
        ({"every_ns": 2 * MINUTE}, False),
        ({"cron": "* * * * *"}, False),
        ({"at_ns": 1}, False),
        ({"timezone": "Europe/Berlin"}, False),
        ({"starts_at_ns": 1}, False),
        ({"ends_at_ns": 1}, False),
    ],
)
def test_a_schedule_is_when_it_is_due(other: dict[str, Any], same: bool) -> None:
    assert same_schedule(replace(EVERY_MINUTE, **other), EVERY_MINUTE) is same


# -- what one fire has in the place of the settings --


@pytest.mark.parametrize(
    ("settings", "said", "error", "words"),
    [
        (EVERY_MINUTE, FireOverrides(prompt=""), InvalidHeartbeat, "prompt: text or parts"),
        (
            ON_A_THREAD,
            FireOverrides(metadata={"k": 1}),
            InvalidHeartbeat,
            "metadata: what is told to a thread has none",
        ),
        (
            replace(ON_A_THREAD, if_idle=IfIdle("persist")),
            FireOverrides(request_context={}),
            InvalidHeartbeat,
            "request_context: of a run, and only wake starts one",
        ),
        (
            replace(ON_A_THREAD, if_idle=IfIdle("persist")),
            FireOverrides(request_context={"k": 1}),
            InvalidSignal,
            "if_idle.request_context",
        ),
    ],
)
def test_what_one_fire_cannot_be_is_refused_with_the_reason(
    settings: HeartbeatSettings, said: FireOverrides, error: type[OutliveError], words: str
) -> None:
    with pytest.raises(error, match=f"^{words}"):
        check_fire(overridden(settings, said), said)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (EVERY_MINUTE, FireOverrides(metadata={"k": 1}, request_context={"k": 1})),
        (ON_A_THREAD, FireOverrides(prompt="q")),
        (replace(ON_A_THREAD, if_idle=IfIdle("persist")), FireOverrides(prompt="q")),
        (replace(ON_A_THREAD, if_idle=IfIdle("wake")), FireOverrides(request_context={"k": 1})),
    ],
)
def test_what_one_fire_can_be(settings: HeartbeatSettings, said: FireOverrides) -> None:
    check_fire(overridden(settings, said), said)


def test_what_is_said_for_one_fire_takes_the_place_of_the_settings() -> None:
    assert overridden(EVERY_MINUTE, None) is EVERY_MINUTE
    assert overridden(EVERY_MINUTE, FireOverrides()) is EVERY_MINUTE
    parts = replace(EVERY_MINUTE, parts=(TextPart("p"),), name="n")
    assert overridden(parts, FireOverrides(prompt="q")) == replace(parts, prompt="q", parts=())
    both = FireOverrides(prompt="q", parts=(TextPart("q"),))
    assert overridden(parts, both) == replace(parts, prompt="q", parts=(TextPart("q"),))
    context = FireOverrides(request_context={"k": 1})
    assert overridden(EVERY_MINUTE, context) == replace(EVERY_MINUTE, request_context={"k": 1})


@pytest.mark.parametrize(
    ("settings", "said", "if_idle"),
    [
        pytest.param(
            ON_A_THREAD, FireOverrides(prompt="q"), None, id="nothing is said of a context"
        ),
        pytest.param(
            ON_A_THREAD,
            FireOverrides(request_context={"k": 1}),
            IfIdle(request_context={"k": 1}),
            id="a context is that of the run that is woken",
        ),
        pytest.param(
            replace(ON_A_THREAD, if_idle=IfIdle("wake", attributes={"a": 1})),
            FireOverrides(request_context={"k": 1}),
            IfIdle("wake", attributes={"a": 1}, request_context={"k": 1}),
            id="the rest of it stays",
        ),
        pytest.param(
            replace(EVERY_MINUTE, request_context={"k": 1}),
            FireOverrides(thread_id="t", resource_id="u"),
            IfIdle(request_context={"k": 1}),
            id="the heartbeat's own, where a thread is chosen for this one",
        ),
        pytest.param(
            replace(EVERY_MINUTE, request_context={"k": 1}),
            FireOverrides(thread_id="t", resource_id="u", if_idle=IfIdle("persist")),
            IfIdle("persist"),
            id="unless it is said what becomes of it there",
        ),
    ],
)
def test_on_a_thread_a_context_is_that_of_the_run_that_is_woken(
    settings: HeartbeatSettings, said: FireOverrides, if_idle: IfIdle | None
) -> None:
    after = overridden(settings, said)
    assert (after.if_idle, after.request_context) == (if_idle, {})
