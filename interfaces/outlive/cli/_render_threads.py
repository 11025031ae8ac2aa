"""Events of threads, and what is said on them, as lines that a person reads."""

from __future__ import annotations

from outlive.cli._render_parts import failure, said, short
from outlive.cli._text import printable
from outlive.events import (
    AssistantMessage,
    Event,
    Failure,
    HistoryCondensed,
    Message,
    MessageAppended,
    RunSignalled,
    SignalDropped,
    SignalReceived,
    SignalReturned,
    ThreadCreated,
    ThreadRenamed,
    ThreadRunAsked,
    ThreadRunCancelled,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadRunWithdrawn,
    ToolMessage,
)


def thread_says(event: Event) -> str | None:
    """Return what matters of an event in one line; None if it is none about a thread."""
    match event:
        case ThreadCreated():
            fork = event.forked_from
            of = "" if fork is None else f", forked from {printable(fork.thread_id)}"
            return f"{printable(event.title)} for {printable(event.resource_id)}{of}".strip()
        case ThreadRenamed():
            return printable(event.title)
        case MessageAppended():
            return f"{who(event.message)}: {printable(words(event.message))}"
        case ThreadRunAsked():
            where = "to be told" if event.delivered_to else "asked"
            told = f" to {printable(event.delivered_to)}" if event.delivered_to else ""
            return f"run {printable(event.run_id)} {where}{told}: {printable(event.wish.input)}"
        case SignalReceived():
            by = f" to {printable(event.delivered_to)}" if event.delivered_to else ""
            return f"{event.action}{by}: {printable(event.signal.rendered()[0])}"
        case SignalReturned():
            next_one = printable(event.delivered_to or event.run_id)
            return f"its run was over: told to the next one, {next_one}"
        case SignalDropped():
            return event.reason
        case ThreadRunClaimed():
            return f"run {printable(event.run_id)} of {printable(event.agent_id)}"
        case ThreadRunCancelled():
            why = said("cancelled", event.by, event.reason or "another input has come")
            return f"run {printable(event.run_id)} {why}"
        case HistoryCondensed(error=None):
            return f"what was said up to version {event.upto}: {printable(event.text)}"
        case HistoryCondensed(error=Failure() as error):
            return f"what was said up to version {event.upto}: {failure(error)}"
        case ThreadRunReleased():
            return f"run {printable(event.run_id)} {event.status}"
        case ThreadRunWithdrawn():
            return f"run {printable(event.run_id)} {said('taken back', event.by, event.reason)}"
        case RunSignalled():
            return printable(event.signal.rendered()[0])
        case _:
            return None


def who(message: Message) -> str:
    """Return who has said something."""
    match message:
        case AssistantMessage():
            return "assistant"
        case ToolMessage():
            return f"tool {printable(message.name)}"
        case _:
            return "user"


def words(message: Message) -> str:
    """Return what was said: text, or the calls that were asked for."""
    match message:
        case AssistantMessage(text="", tool_calls=calls):
            return ", ".join(f"{call.name}({short(call.arguments)})" for call in calls)
        case ToolMessage():
            return failure(message.error) if message.error is not None else message.text
        case _:
            return message.text
