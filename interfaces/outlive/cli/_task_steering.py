"""What a person says of a task from a terminal."""

from __future__ import annotations

from pathlib import Path

from outlive.cli._exit import Wrong
from outlive.cli._saying import name_of, say, value_of


def cancel_task(data: Path, task_id: str, *, reason: str, by: str | None, json: bool) -> int:
    """End a task. Raises what `Runtime.tasks.cancel` raises."""
    return say(
        data,
        lambda rt: rt.tasks.cancel(task_id, reason, by=name_of(by)),
        f"cancelled: task {task_id!r}",
        {"task_id": task_id, "said": "cancelled"},
        json=json,
    )


def resume_task(
    data: Path,
    task_id: str,
    text: str | None,
    *,
    key: str | None,
    as_text: bool,
    by: str | None,
    json: bool,
) -> int:
    """Answer what a task asks. Raises what `Runtime.tasks.resume` raises, Wrong."""
    if text is None and as_text:
        raise Wrong("--text is for an answer, and there is none")
    value = text if text is None or as_text else value_of(text)
    return say(
        data,
        lambda rt: rt.tasks.resume(task_id, value, key=key, by=name_of(by)),
        f"answered: {key + ' of ' if key else ''}task {task_id!r}",
        {"task_id": task_id, "key": key, "said": "answered"},
        json=json,
    )


def retry_task(data: Path, task_id: str, *, by: str | None, json: bool) -> int:
    """Have a task tried once more. Raises what `Runtime.tasks.retry` raises."""
    return say(
        data,
        lambda rt: rt.tasks.retry(task_id, by=name_of(by)),
        f"to be tried once more: task {task_id!r}",
        {"task_id": task_id, "said": "retried"},
        json=json,
    )
