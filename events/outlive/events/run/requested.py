"""What a run was started with, as a digest: a start may be repeated, and must be the same."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from outlive.events.run.background import IdlePolicy
from outlive.events.run.parts import InputPart
from outlive.events.run.thread import ThreadPlace
from outlive.events.values import Value, canonical, digest

_encode: Final = msgspec.msgpack.Encoder().encode


class _Start(Protocol):
    @property
    def agent_id(self) -> str: ...
    @property
    def input(self) -> str: ...
    @property
    def metadata(self) -> dict[str, Value]: ...
    @property
    def request_context(self) -> dict[str, Value]: ...
    @property
    def provider_options(self) -> dict[str, Value]: ...
    @property
    def until_idle(self) -> IdlePolicy | None: ...
    @property
    def parts(self) -> tuple[InputPart, ...]: ...
    @property
    def thread(self) -> ThreadPlace | None: ...


def request_digest(start: _Start) -> str:
    """Return the digest that tells a repeated start from another start under the same id."""
    known = [start.agent_id.encode(), start.input.encode(), canonical(start.metadata)]
    if start.until_idle is not None:
        known.append(_encode(start.until_idle))
    if start.thread is not None:
        known.append(_encode(start.thread.thread_id))
    if not (start.request_context or start.provider_options or start.parts):
        return digest(*known)
    more = canonical([start.request_context, start.provider_options])
    return digest(*known, more, _encode(start.parts))
