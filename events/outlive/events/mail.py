"""Messages from one entity to another: what both keep of them in their states. Pure.

An entity appends to its own stream only; what it owes another one is a message. The commit that
makes it necessary puts it into the sender's outbox. It is delivered, again and again if need be,
until the receiver's commit is acknowledged; then the sender records `MessageDelivered`. The
receiver keeps the last number that it has heard of each sender, so a repeat changes nothing:
whatever crashes when, each message has its effect once.

The messages to one receiver go out one after the other: the second only when the first is
acknowledged. So they arrive in order, and a number that is not higher is a repeat. Only one that
has its effect whatever came before, as a wish that the receiver end, may overtake others.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from outlive.events.event import Event
from outlive.events.ids import StreamId


class MessageId(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which message: the `sequence`-th, from 1, that `sender` has posted."""

    sender: StreamId
    sequence: int


class Letter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a state keeps of a message until it is delivered.

    What it says is made when it is delivered, from the sender's events: `subject` and `about`
    tell which of them. It need not wait for letters whose subject it `overtakes`: the receiver
    does not take its number for that of the last one that it has heard.
    """

    to: StreamId
    subject: str
    about: str = ""
    overtakes: str = ""


class MessageDelivered(Event, tag="message-delivered", frozen=True, kw_only=True):
    """The receiver has acknowledged a message. Nothing is owed for it any more."""

    sequence: int
    to: StreamId


class Mail(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The messages of one entity: those it has posted, and the last ones it has heard."""

    sent: int = 0
    outbox: dict[int, Letter] = {}  # by sequence: not acknowledged yet
    heard: dict[StreamId, int] = {}  # by sender: the sequence of the last one


NO_MAIL = Mail()


def post(mail: Mail, letter: Letter) -> Mail:
    """Return the mail with one more message to be delivered."""
    sequence = mail.sent + 1
    return replace(mail, sent=sequence, outbox={**mail.outbox, sequence: letter})


def delivered(mail: Mail, sequence: int) -> Mail:
    """Return the mail without a message that was acknowledged, or is not to be sent any more.

    One that is not to be sent any more may have arrived, and the receiver may be about to record
    it: only a later message to the same receiver can take it back.
    """
    if sequence not in mail.outbox:
        return mail
    outbox = {number: letter for number, letter in mail.outbox.items() if number != sequence}
    return replace(mail, outbox=outbox)


def due(mail: Mail) -> dict[int, Letter]:
    """Return the messages that may be delivered now: to each receiver the first one.

    And those that need not wait for the ones before them.
    """
    first: dict[StreamId, int] = {}
    found: dict[int, Letter] = {}
    for sequence, letter in mail.outbox.items():
        if first.setdefault(letter.to, sequence) == sequence or _overtakes(mail, sequence, letter):
            found[sequence] = letter
    return found


def _overtakes(mail: Mail, sequence: int, letter: Letter) -> bool:
    before = (
        other
        for number, other in mail.outbox.items()
        if number < sequence and other.to == letter.to
    )
    return bool(letter.overtakes) and all(one.subject == letter.overtakes for one in before)


def is_repeat(mail: Mail, message: MessageId | None) -> bool:
    """Whether a message was heard before; False for what is no message."""
    return message is not None and message.sequence <= mail.heard.get(message.sender, 0)


def hear(mail: Mail, message: MessageId | None, *, last: bool = False) -> Mail:
    """Return the mail after an event that a message has caused.

    `last`: the sender says no more, and is forgotten. That is safe where the receiver knows a
    repeat of this very message by what it is about.
    """
    if message is None:
        return mail
    heard = {sender: number for sender, number in mail.heard.items() if sender != message.sender}
    if not last:
        heard[message.sender] = message.sequence
    return mail if heard == mail.heard else replace(mail, heard=heard)
