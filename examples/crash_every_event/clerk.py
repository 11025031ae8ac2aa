"""An agent that deals with complaints: it looks up the order, pays back, and writes a mail.

Run it for real with `Runtime("data", agents=[clerk], deps=Shop(...))`.
"""

from typing import Protocol

from outlive.actors import Agent, EchoModel, ToolContext, tool


class Shop(Protocol):
    """The rest of the world, as the clerk sees it."""

    async def price(self, order: str) -> int: ...
    async def pay_back(self, order: str, cents: int, *, idempotency_key: str) -> str: ...
    async def send_mail(self, to: str, text: str, *, message_id: str) -> None: ...


@tool(read_only=True)
async def look_up(ctx: ToolContext, order: str) -> int:
    """Return what an order has cost, in cents."""
    shop: Shop = ctx.deps
    return await shop.price(order)


@tool(idempotent=True)
async def pay_back(ctx: ToolContext, order: str, cents: int) -> str:
    """Pay an order back."""
    shop: Shop = ctx.deps
    return await shop.pay_back(order, cents, idempotency_key=ctx.idempotency_key)


@tool(in_doubt="retry")
async def send_mail(ctx: ToolContext, to: str, text: str) -> None:
    """Write to a customer. After a crash the same mail may come twice, with the same id."""
    shop: Shop = ctx.deps
    await shop.send_mail(to, text, message_id=ctx.idempotency_key)


clerk = Agent(
    "clerk",
    model=EchoModel(),  # in production: the one that you pay for
    instructions="Look up the order, pay it back, and tell the customer.",
    tools=[look_up, pay_back, send_mail],
)
