"""What named subscriptions do, whatever the log is made of. See `log_contract`."""

from __future__ import annotations

from typing import TypeVar

import pytest

from outlive.events import (
    EventLog,
    InvalidId,
    InvalidOffset,
    LogClosed,
    NamedSubscription,
    NameTaken,
    OffsetMovedOn,
    Position,
    Record,
    SavedOffset,
    Version,
)
from outlive.testing.log_contract.filling import A, B, C, Filler, run
from outlive.testing.log_contract.store import Store, StoreContract

L = TypeVar("L", bound=EventLog)

BAD_OFFSETS = (-1, 5, 2**70, 1.0, True, "1", None)


async def positions(subscription: NamedSubscription[Record], count: int) -> list[int]:
    """The positions of the next records of a subscription."""
    return [(await anext(subscription)).position for _ in range(count)]


class NamedContract(StoreContract[L]):
    """Subclasses override `store`."""

    @pytest.mark.parametrize("clean", [True, False])
    def test_a_named_reader_goes_on_where_it_saved(self, store: Store, clean: bool) -> None:
        async def first() -> None:
            async with store.log.subscription("books") as records:
                assert (records.name, records.offset) == ("books", 0)
                assert await positions(records, 3) == [1, 2, 3]
                await records.save()
                assert await positions(records, 1) == [4]
                assert records.offset == 4

        async def second() -> None:
            async with store.log.subscription("books") as records:
                assert records.offset == 3
                assert await positions(records, 2) == [4, 5], "what was not saved comes again"
                Filler(store.log).numbered(1)
                assert await positions(records, 1) == [6], "then what is live"

        Filler(store.log).numbered(5)
        run(first())
        store.reopen(clean=clean)
        run(second())

    def test_a_stream_is_read_by_version(self, log: EventLog) -> None:
        async def work() -> None:
            events = log.subscription("one", stream=A)
            assert [(await anext(events)).version for _ in range(2)] == [1, 2]
            await events.save()
            again = log.subscription("one", stream=A)
            assert (again.stream, again.offset) == (A, 2)
            assert (await anext(again)).version == 3
            await again.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(again)

        Filler(log, B).numbered(2)
        Filler(log, A).numbered(3)
        run(work())

    def test_readers_with_one_name_get_everything_and_save_forwards_only(
        self, log: EventLog
    ) -> None:
        async def work() -> None:
            ahead, behind = log.subscription("n"), log.subscription("n")
            assert await positions(ahead, 3) == await positions(behind, 3) == [1, 2, 3]
            await ahead.save()
            slow = log.subscription("n")
            await positions(ahead, 1)
            await ahead.save()
            with pytest.raises(OffsetMovedOn) as moved:
                await slow.save()
            assert (moved.value.offset, moved.value.saved) == (3, 4)
            await behind.save(backwards=True)
            assert log.subscription("n").offset == 3
            await behind.save()

        Filler(log).numbered(4)
        run(work())

    def test_a_name_is_bound_to_what_it_reads(self, log: EventLog) -> None:
        async def work() -> None:
            late = log.subscription("n", stream=B)
            await log.subscription("n", stream=A).save()
            for refused in (lambda: log.subscription("n"), lambda: log.subscription("n", stream=B)):
                with pytest.raises(NameTaken, match="run-a"):
                    refused()
            with pytest.raises(NameTaken):
                await late.save()

        run(work())

    def test_names_are_listed_and_forgotten(self, store: Store) -> None:
        async def work() -> None:
            log = store.log
            assert log.offsets() == []
            assert not log.forget("b")
            both = log.subscription("b"), log.subscription("a", stream=C)
            await positions(both[0], 1)
            for subscription in both:
                await subscription.save()

        Filler(store.log).numbered(1)
        run(work())
        store.reopen(clean=True)
        log_id = store.log.log_id
        a = SavedOffset(name="a", offset=0, stream=C, log_id=log_id)
        assert store.log.offsets() == [a, SavedOffset(name="b", offset=1, log_id=log_id)]
        assert store.log.forget("b")
        assert not store.log.forget("b")
        assert store.log.offsets() == [a]
        assert store.log.subscription("b", stream=B).offset == 0

    @pytest.mark.parametrize("name", ["", " x", "x\n", "x" * 201, "\ud800", 7, None])
    def test_a_name_is_printable_text_of_1_to_200_characters(
        self, log: EventLog, name: str
    ) -> None:
        for use in (log.subscription, log.forget):
            with pytest.raises(InvalidId):
                use(name)
        log.subscription("ü" * 200)

    @pytest.mark.parametrize("after", BAD_OFFSETS)
    def test_an_offset_that_the_log_never_handed_out_is_refused(
        self, log: EventLog, after: int
    ) -> None:
        Filler(log, B).numbered(2)
        Filler(log, A).numbered(2)
        with pytest.raises(InvalidOffset) as refused:
            log.follow_all(after=Position(after))
        assert (refused.value.after, refused.value.head) == (after, 4)
        with pytest.raises(InvalidOffset):
            log.follow(A, after=Version(after))

    def test_the_head_is_an_offset_and_so_is_0_of_a_stream_that_is_not_there(
        self, log: EventLog
    ) -> None:
        Filler(log).numbered(2)
        assert log.follow(A, after=Version(2)).offset == 2
        with pytest.raises(InvalidOffset):
            log.follow(A, after=Version(3))
        assert log.follow_all(after=log.head).offset == 2
        log.follow(C)
        with pytest.raises(InvalidOffset):
            log.follow(C, after=Version(1))

    def test_a_named_reader_ends_with_its_log(self, log: EventLog) -> None:
        async def work() -> None:
            records = log.subscription("n")
            log.close()
            with pytest.raises(LogClosed):
                await anext(records)

        run(work())
