"""What the processes of local models have in common: the cores they may use, and their end."""

import asyncio
import os
from asyncio.subprocess import Process
from contextlib import suppress

_STOP_SECONDS = 3


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def end(process: Process) -> None:
    """Ends a process that leaves when its standard input is cut; kills it when it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
