"""``@handler``: an async function becomes a kind of job."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel

from yeoul.core.jobs.kinds import Backoff, Kind
from yeoul.core.runtime.context import Context

Input = TypeVar("Input", bound=BaseModel)


def handler(
    name: str,
    *,
    max_attempts: int | None = None,
    timeout: float = 3600,
    backoff: Backoff | None = None,
    public: bool = True,
    everywhere: bool = False,
) -> Callable[[Callable[[Context, Input], Awaitable[BaseModel | None]]], Kind]:
    """Makes a ``Kind`` of ``async def f(ctx: Context, input: In) -> Out``; In and Out are pydantic models.

    ``timeout`` is in seconds for one attempt. Out may be None. Raises ``TypeError`` when the annotations do not say.
    """

    def make(function: Callable[[Context, Input], Awaitable[BaseModel | None]]) -> Kind:
        hints = get_type_hints(function)
        returned = hints.pop("return", None)
        taken: list[Any] = list(hints.values())
        if len(taken) != 2 or not (isinstance(taken[1], type) and issubclass(taken[1], BaseModel)):  # noqa: PLR2004
            raise TypeError(
                f"handler {name!r} must be `async def f(ctx: Context, input: SomeModel) -> SomeModel | None`"
            )
        output = returned if isinstance(returned, type) and issubclass(returned, BaseModel) else None
        return Kind(
            name=name,
            handler=function,
            input=taken[1],
            output=output,
            max_attempts=max_attempts,
            timeout=timeout,
            backoff=backoff or Backoff(),
            public=public,
            everywhere=everywhere,
        )

    return make
