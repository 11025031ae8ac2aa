"""What two entities keep of the messages between them."""

from __future__ import annotations

from itertools import chain, repeat

from hypothesis import given
from hypothesis import strategies as st

from outlive.events import Mail, MessageId, StreamId
from outlive.events.mail import NO_MAIL, Letter, delivered, due, hear, is_repeat, post

A, B = StreamId("run-a"), StreamId("run-b")


def letter(to: StreamId, subject: str = "hello") -> Letter:
    return Letter(to=to, subject=subject)


def message(sequence: int, sender: StreamId = A) -> MessageId:
    return MessageId(sender=sender, sequence=sequence)


def posted(*letters: Letter) -> Mail:
    mail = NO_MAIL
    for one in letters:
        mail = post(mail, one)
    return mail


def test_messages_are_numbered_from_one_and_owed_until_they_are_delivered() -> None:
    mail = posted(letter(A), letter(B))
    assert mail.outbox == {1: letter(A), 2: letter(B)}
    mail = delivered(mail, 1)
    assert mail.outbox == {2: letter(B)}
    assert post(mail, letter(A)).outbox == {2: letter(B), 3: letter(A)}  # no number comes again


def test_a_message_delivered_twice_is_taken_out_once() -> None:
    mail = delivered(posted(letter(A)), 1)
    assert delivered(mail, 1) is mail


def test_to_each_receiver_goes_one_message_at_a_time_the_oldest_first() -> None:
    mail = posted(letter(A, "first"), letter(B), letter(A, "second"))
    assert due(mail) == {1: letter(A, "first"), 2: letter(B)}
    assert due(delivered(mail, 1)) == {2: letter(B), 3: letter(A, "second")}


def test_what_overtakes_waits_for_others_only() -> None:
    stop = Letter(to=A, subject="stop", overtakes="tell")
    mail = posted(letter(A, "begin"), letter(A, "tell"), letter(A, "tell"), stop, letter(A, "tell"))
    assert list(due(mail)) == [1]
    assert list(due(delivered(mail, 1))) == [2, 4]
    assert list(due(delivered(delivered(mail, 1), 4))) == [2]
    assert list(due(posted(letter(A, "tell"), letter(A, "other"), stop))) == [1]


def test_what_was_heard_is_a_repeat_and_so_is_what_was_posted_before_it() -> None:
    mail = hear(NO_MAIL, message(2))
    assert [is_repeat(mail, message(sequence)) for sequence in (1, 2, 3)] == [True, True, False]
    assert not is_repeat(mail, message(1, sender=B))


def test_what_is_no_message_is_never_a_repeat_and_leaves_no_trace() -> None:
    assert not is_repeat(NO_MAIL, None)
    assert hear(NO_MAIL, None) is NO_MAIL


def test_a_sender_that_says_no_more_is_forgotten() -> None:
    mail = hear(hear(NO_MAIL, message(1)), message(1, sender=B))
    assert hear(mail, message(2), last=True).heard == {B: 1}
    assert hear(NO_MAIL, message(1), last=True) is NO_MAIL


@given(
    receivers=st.lists(st.sampled_from([A, B]), max_size=8),
    deliveries=st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=30),
)
def test_however_often_and_late_messages_come_each_is_applied_once_and_in_order(
    receivers: list[StreamId], deliveries: list[tuple[int, bool]]
) -> None:
    # given: a sender, and a network that repeats what is due whenever it likes
    sender = StreamId("run-s")
    outgoing = posted(*(letter(to, f"{n}") for n, to in enumerate(receivers)))
    mails: dict[StreamId, Mail] = {A: NO_MAIL, B: NO_MAIL}
    applied: dict[StreamId, list[int]] = {A: [], B: []}
    # when: acknowledgements get lost too, until all is well again
    for which, acknowledged in chain(deliveries, repeat((0, True))):
        if not outgoing.outbox:
            break
        owed = sorted(due(outgoing).items(), key=str)
        sequence, one = owed[which % len(owed)]
        arriving = message(sequence, sender)
        if not is_repeat(mails[one.to], arriving):
            applied[one.to].append(sequence)
            mails[one.to] = hear(mails[one.to], arriving)
        if acknowledged:
            outgoing = delivered(outgoing, sequence)
    # then
    for to, sequences in applied.items():
        assert sequences == [n for n, other in enumerate(receivers, 1) if other == to]
