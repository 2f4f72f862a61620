"""Work that is worth doing only while somebody waits for its answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

CLIENT_LEFT = 499
"""The status of an answer nobody hears."""

Result = TypeVar("Result")


async def while_listened_to(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of ``work``, which is given up when the client leaves (null)."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
