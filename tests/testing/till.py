"""An entity of a user's own, as small as can be: a till with coins in it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from outlive.events import Codec, Event, OpenEntry, Refused


class CoinAdded(Event, tag="coin-added", frozen=True, kw_only=True):
    cents: int
    note: str = ""


class CoinTaken(Event, tag="coin-taken", frozen=True, kw_only=True):
    cents: int


TILL_CODEC: Final = Codec([CoinAdded, CoinTaken])


class Till(Struct, frozen=True):
    coins: tuple[int, ...] = ()


class AddCoin(Struct, frozen=True):
    cents: int


class TakeCoin(Struct, frozen=True):
    cents: int


Command = AddCoin | TakeCoin


class TillEntity:
    @property
    def initial(self) -> Till:
        return Till()

    @property
    def edition(self) -> int:
        return 1

    @property
    def lasts(self) -> bool:
        return False

    def decide(self, state: Till, command: Command) -> tuple[Event, ...]:
        match command:
            case AddCoin(cents=cents):
                return (CoinAdded(cents=cents),)
            case TakeCoin(cents=cents) if cents in state.coins:
                return (CoinTaken(cents=cents),)
            case TakeCoin(cents=cents):
                raise Refused(f"there is no coin of {cents}")

    def evolve(self, state: Till, event: Event) -> Till:
        coins = list(state.coins)
        match event:
            case CoinAdded(cents=cents):
                coins.append(cents)
            case CoinTaken(cents=cents):
                coins.remove(cents)
            case _:
                raise ValueError(f"not an event of a till: {event}")
        return replace(state, coins=tuple(coins))

    def outstanding(self, state: Till) -> dict[str, None]:
        return {}

    def open_entry(self, state: Till) -> OpenEntry | None:
        return OpenEntry(kind="till", status="open") if state.coins else None


TILL: Final = TillEntity()
