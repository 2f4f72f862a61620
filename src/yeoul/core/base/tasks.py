"""Tasks that run beside others."""

import asyncio
from contextlib import suppress
from typing import Any


async def cancel(task: asyncio.Task[Any] | None) -> None:
    """Cancels a task, if there is one, and waits for its end. What else it raises is raised here."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
