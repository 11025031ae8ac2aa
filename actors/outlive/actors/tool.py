"""Tools: plain functions that a model may call."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    overload,
)

from outlive.actors.background import CHOICE, Background, check_entry
from outlive.actors.context import SyncToolContext, ToolContext
from outlive.actors.model import ToolSchema
from outlive.actors.retry import NO_RETRY, Retry, as_retry, seconds
from outlive.actors.run.commands import InDoubt
from outlive.actors.signature import Signature
from outlive.actors.task.hooks import TaskHooks, check_hooks
from outlive.actors.workers.importable import check_importable
from outlive.events import Failure, InvalidDefinition, UnserialisableValue, Value

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


Isolation: TypeAlias = Literal["auto", "thread", "process"]


class RepeatedAfterCrash(UserWarning):
    """A tool does not say what may be done when a crash leaves its outcome unknown."""


class Tool(Generic[P, R]):
    """A function as a tool. Made by `tool`; calling it calls the function."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | timedelta | None = None,
        retry: int | Retry | None = None,
        read_only: bool = False,
        idempotent: bool = False,
        destructive: bool = False,
        in_doubt: InDoubt | None = None,
        requires_approval: bool | str = False,
        approval_expires: float | timedelta | None = None,
        isolation: Isolation = "auto",
        background: bool | Background = False,
        concurrency: int | None = None,
        task_hooks: TaskHooks | None = None,
    ) -> None:
        self.fn: Final = fn
        self.name: Final = name or fn.__name__
        if not _NAME.fullmatch(self.name):
            raise InvalidDefinition(
                f"{self.name!r} is no tool name: 1 to 64 of letters, digits, '_' and '-', "
                "not beginning with a digit or '-'"
            )
        if in_doubt not in (None, "retry", "ask", "fail"):
            raise InvalidDefinition(f"in_doubt is 'retry', 'ask' or 'fail', not {in_doubt!r}")
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise InvalidDefinition(f"tool {self.name!r} is a generator; return the result instead")
        self.is_async: Final = inspect.iscoroutinefunction(fn)
        self.signature: Final = Signature(
            fn,
            self.name,
            context=ToolContext if self.is_async else SyncToolContext,
            wrong_context=SyncToolContext if self.is_async else ToolContext,
        )
        if isolation not in get_args(Isolation):
            raise InvalidDefinition(
                f"isolation is one of {', '.join(get_args(Isolation))}, not {isolation!r}"
            )
        if isolation == "thread" and self.is_async:
            raise InvalidDefinition(
                f"tool {self.name!r} is async, which runs on the loop: isolation='thread' is "
                "for `def`"
            )
        if isolation == "process":
            check_importable(fn, self.name, self.signature.context_parameter)
        self.isolation: Final[Isolation] = isolation
        self.timeout: Final = None if timeout is None else seconds("timeout", timeout)
        self.own_retry: Final = None if retry is None else as_retry(retry)
        self.retry: Final = NO_RETRY if self.own_retry is None else self.own_retry
        self.in_doubt: Final[InDoubt] = in_doubt or ("ask" if destructive else "retry")
        self.requires_approval: Final = requires_approval
        self.approval_expires: Final = (
            None if approval_expires is None else seconds("approval_expires", approval_expires)
        )
        if requires_approval == "" or not isinstance(requires_approval, bool | str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(
                f"tool {self.name!r}: requires_approval is True, False or the name of a predicate, "
                f"not {requires_approval!r}"
            )
        if approval_expires is not None and not requires_approval:
            raise InvalidDefinition(
                f"tool {self.name!r}: approval_expires is for tools with requires_approval"
            )
        check_entry(f"background of tool {self.name!r}", background)
        self.background: Final = background
        self.check_choice(background)
        if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
            raise InvalidDefinition(
                f"tool {self.name!r}: concurrency is 1 or more, not {concurrency!r}"
            )
        self.concurrency: Final = concurrency
        self.task_hooks: Final = check_hooks(f"tool {self.name!r}", task_hooks)
        self.schema: Final = ToolSchema(
            name=self.name,
            description=self.signature.description if description is None else description,
            parameters=self.signature.parameters,
            output=self.signature.output,
        )
        if not (read_only or idempotent or destructive or in_doubt):
            warnings.warn_explicit(
                f"tool {self.name!r} will be called again when a crash leaves its outcome "
                "unknown: say read_only=True, idempotent=True or in_doubt='retry' if that is "
                "fine, in_doubt='fail' if not",
                RepeatedAfterCrash,
                filename=inspect.getsourcefile(fn) or "<unknown>",
                lineno=fn.__code__.co_firstlineno if hasattr(fn, "__code__") else 1,
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        """Name the tool."""
        return f"<Tool {self.name}>"

    def check_choice(self, entry: bool | Background) -> None:
        """Raise InvalidDefinition if the model is to choose by a parameter of the function."""
        chooses = isinstance(entry, Background) and entry.let_model_choose
        if chooses and CHOICE in inspect.signature(self.fn).parameters:
            raise InvalidDefinition(
                f"tool {self.name!r} has a parameter {CHOICE!r}: by that the model would choose"
            )

    def problem_with(self, arguments: dict[str, Value]) -> Failure | None:
        """Return why the function cannot be called with these arguments; None if it can."""
        try:
            self.signature.arguments(arguments)
        except UnserialisableValue as error:
            return Failure(kind="invalid_arguments", message=str(error))
        return None


@overload
def tool(fn: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | timedelta | None = None,
    retry: int | Retry | None = None,
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    in_doubt: InDoubt | None = None,
    requires_approval: bool | str = False,
    approval_expires: float | timedelta | None = None,
    isolation: Isolation = "auto",
    background: bool | Background = False,
    concurrency: int | None = None,
    task_hooks: TaskHooks | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    fn: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | timedelta | None = None,
    retry: int | Retry | None = None,
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    in_doubt: InDoubt | None = None,
    requires_approval: bool | str = False,
    approval_expires: float | timedelta | None = None,
    isolation: Isolation = "auto",
    background: bool | Background = False,
    concurrency: int | None = None,
    task_hooks: TaskHooks | None = None,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a function, `def` or `async def`, a tool.

    The input schema comes from the signature and the `Args:` of the docstring, the output
    schema from the return annotation; both are checked at each call. A parameter annotated
    with `ToolContext` (`SyncToolContext` in a `def`) is filled by the runtime.

    Args:
        fn: the function, when used without parentheses.
        name: what the model calls it; the function's name if left out.
        description: what the model is told; the docstring if left out.
        timeout: seconds for one attempt. Async: it is cancelled. Sync: its thread is
            abandoned, and what it did is unknown.
        retry: how often, or how, to try again after an error or a timeout. The waits are
            durable: a restart does not begin them anew. Left out, it is not tried again; as a
            background task it is as the runtime says, which 0 overrules.
        read_only: it changes nothing, so a repeat does no harm.
        idempotent: a repeat with the same `ctx.idempotency_key` changes nothing.
        in_doubt: what to do when a crash (or an abandoned thread) leaves the outcome unknown:
            "retry" (default) calls it again, "fail" tells the model that it is unknown, "ask"
            suspends the run until a person says what became of it (`Runtime.resolve`).
        destructive: it must not be repeated by itself: `in_doubt` is "ask" unless it is said.
        requires_approval: a person must agree before it is called (`Runtime.approve`). Or the
            name of a predicate in `Runtime(functions={...})`, async or not: it is given the
            arguments, and tells whether somebody must. If it raises, somebody must.
        approval_expires: seconds after which no answer is a no, also over restarts.
        isolation: "thread" and "auto" run an async tool on the loop and a sync one in a thread.
            "process" runs each call in a process of its own, which is killed at the deadline,
            on a cancellation, and when its owner dies. Another process has to be able to import
            the function, and there is no `ctx.deps` in it.
        background: the model goes on while it runs as a task; `Background` says how. An agent may
            say something else of it.
        concurrency: how many of its background tasks run at the same time, over all runs.
        task_hooks: called when one of its background tasks is over.

    Raises:
        InvalidDefinition: the function or an option cannot work, with the reason.
    """

    def make(function: Callable[P, R]) -> Tool[P, R]:
        return Tool(
            function,
            name=name,
            description=description,
            timeout=timeout,
            retry=retry,
            read_only=read_only,
            idempotent=idempotent,
            destructive=destructive,
            in_doubt=in_doubt,
            requires_approval=requires_approval,
            approval_expires=approval_expires,
            isolation=isolation,
            background=background,
            concurrency=concurrency,
            task_hooks=task_hooks,
        )

    return make if fn is None else make(fn)


AnyTool = Tool[..., Any] | Callable[..., Any] | Callable[..., Awaitable[Any]]


def as_tool(value: AnyTool) -> Tool[..., object]:
    """Return `value` as a tool; a plain function becomes one with the defaults."""
    if isinstance(value, Tool):
        return cast("Tool[..., object]", value)
    if inspect.isroutine(value):
        return Tool(value)
    raise InvalidDefinition(f"a tool is a function or made by @tool, not {value!r}")
