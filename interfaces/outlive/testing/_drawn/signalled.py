"""What runs hear of the thread that they work on."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from outlive.actors.run.commands import TellRun
from outlive.events import MessageId, RunSignalled, RunState, Signal, ThreadPlace, thread_stream

ON_THREAD: Final = ThreadPlace(thread_id="th", resource_id="u", until=3, max_messages=40)
BEGUN_BY: Final = MessageId(sender=thread_stream("th"), sequence=1)


def told_by_thread(draw: st.DrawFn, state: RunState) -> TellRun:
    """Draw what is said to a run: by its thread, or by somebody else."""
    heard = state.mail.heard.get(BEGUN_BY.sender, 0)
    message = MessageId(sender=BEGUN_BY.sender, sequence=heard + draw(st.integers(0, 1)))
    return TellRun(
        run_id="r",
        signal_id=f"s{len(state.signals) + draw(st.integers(0, 1))}",
        signal=Signal(text="hear", transient=draw(st.booleans())),
        message=None if state.thread is None else message,
    )


def events_of_signals() -> st.SearchStrategy[RunSignalled]:
    """Draw an event by which something was said to a run, with anything in it that it may hold."""
    text = st.text(max_size=10)
    said = st.builds(
        Signal,
        text=text,
        type=st.sampled_from(["user", "notification", "reactive", "state"]),
        provider_options=st.dictionaries(text, st.integers(0, 9), max_size=2),
        transient=st.booleans(),
    )
    return st.builds(
        RunSignalled, signal_id=text, signal=said, message=st.none() | st.just(BEGUN_BY)
    )


def places() -> st.SearchStrategy[ThreadPlace | None]:
    """Draw the place of a run on a thread, with anything in it that it may hold; None: on none."""
    text, bound = st.text(max_size=10), st.none() | st.integers(0, 100)
    return st.none() | st.builds(
        ThreadPlace,
        thread_id=text,
        resource_id=text,
        until=st.integers(0, 2**31),
        max_messages=bound,
        max_tokens=bound,
        transient=st.booleans(),
    )
