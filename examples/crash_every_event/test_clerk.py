"""The clerk survives a crash at every event, and no customer is paid twice."""

from clerk import clerk

from outlive.actors import ScriptedModel, ToolCall, Turn
from outlive.testing import Client, World, assert_survives_crashes

SCRIPT = [
    Turn(tool_calls=[ToolCall("look_up", {"order": "A-17"})]),
    Turn(tool_calls=[ToolCall("pay_back", {"order": "A-17", "cents": 1999})]),
    Turn(tool_calls=[ToolCall("send_mail", {"to": "Ada", "text": "You have it back."})]),
    Turn("Paid back, and told."),
]


class TestShop:
    """A shop that notes what is done to it in the world, which no crash undoes."""

    __test__ = False

    def __init__(self, world: World) -> None:
        self.world = world

    async def price(self, order: str) -> int:
        return 1999

    async def pay_back(self, order: str, cents: int, *, idempotency_key: str) -> str:
        return self.world.put("payment", idempotency_key, f"{order}: {cents}")

    async def send_mail(self, to: str, text: str, *, message_id: str) -> None:
        self.world.record("mail", message_id)


async def complaint(client: Client) -> str:
    result = await client.run("clerk", "My order A-17 came broken. Ada")
    assert client.world.count("payment") == 1
    return result.unwrap()


def test_the_clerk_survives_a_crash_at_every_event() -> None:
    agents = [clerk.with_model(ScriptedModel(SCRIPT))]
    print(assert_survives_crashes(complaint, agents, deps=TestShop))
