"""The demo's last tool: it writes the brief to a file, once a person has agreed to that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from outlive.actors import tool

PUBLISH: Final = "publish"


@tool(name=PUBLISH, idempotent=True, requires_approval=True)
def publish(path: str, text: str) -> str:
    """Publish a text as a file. A person is asked first.

    Args:
        path: the file; one that is there is replaced as a whole.
        text: what it will hold.
    """
    part = Path(f"{path}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path
