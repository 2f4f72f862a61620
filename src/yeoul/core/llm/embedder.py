"""Starts the local embedding model's process when it is first asked, and again when it died.

A process of its own, because the model computes for seconds in C, on every core it is given, and a crash there must not
be ours. It takes 60 to 90 MB, half of them the weights' file, which the system keeps in memory once for all.
"""

import asyncio
import base64
import json
import sys
import time
from array import array
from asyncio.subprocess import PIPE, Process
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import structlog

from yeoul.core.base.json import clean_text
from yeoul.core.llm.child import cores, end
from yeoul.core.llm.errors import ContextTooLong, ModelNotReady, ModelOverloaded, ModelUnavailable
from yeoul.settings import Settings

E5 = "multilingual-e5-small"
E5_TITLE = "Multilingual E5 small"
E5_DIMENSIONS = 384
E5_CONTEXT = 8192
"""Tokens of one text. The model's window has 512; longer texts are the average of their windows."""
MOST_TOKENS = 65_536
"""Tokens of one order: two to five minutes on one core."""
MOST_WAITING = 64

_START_SECONDS = 60
_LONGEST_LINE = 1 << 24
_LAST_LINES = 20

log = structlog.get_logger(__name__)


@dataclass
class _Running:
    process: Process
    tasks: list[asyncio.Task[None]]
    asked: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)


class Embedder:
    """The model's process. It ends with ``stop``, or with this process, however that ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: _Running | None = None
        self._starting: asyncio.Task[_Running] | None = None
        self._numbers = count(1)
        self._stderr: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def pid(self) -> int | None:
        """The id of the process; None when there is none."""
        running = self._running
        return running.process.pid if running is not None and running.process.returncode is None else None

    async def embed(self, texts: list[str], *, query: bool) -> "tuple[list[array[float]], int]":
        """The texts' vectors, of length 1, and their tokens. Cancelling gives the work up.

        Raises ``ContextTooLong``, ``ModelOverloaded``, ``ModelNotReady``, and ``ModelUnavailable`` when the process
        dies.
        """
        running = await self._process()
        if len(running.asked) >= MOST_WAITING:
            raise ModelOverloaded("The local embedding model has too much to do. Try again in a moment.", retry_after=5)
        number = next(self._numbers)
        answer = running.asked[number] = asyncio.get_running_loop().create_future()
        order = {"id": number, "texts": [clean_text(text) for text in texts], "query": query}
        try:
            await _send(running.process, order | {"longest": E5_CONTEXT, "most": MOST_TOKENS})
            said = await answer
        except BaseException:
            with suppress(OSError, RuntimeError):
                await _send(running.process, {"cancel": number})
            raise
        finally:
            running.asked.pop(number, None)
        if "too_long" in said:
            which, tokens = said["too_long"]
            raise ContextTooLong(
                f"Text {which + 1} has {tokens:,} tokens, and {E5_CONTEXT:,} is the most `local/{E5}` takes. "
                "Cut it into passages.",
                model=f"local/{E5}",
            )
        if "too_much" in said:
            raise ContextTooLong(
                f"These texts have {said['too_much']:,} tokens, and {MOST_TOKENS:,} is the most `local/{E5}` takes at "
                "a time. Send fewer, or submit a job of the kind llm.embed.",
                model=f"local/{E5}",
            )
        return _vectors(base64.b64decode(said["vectors"])), said["tokens"]

    async def stop(self) -> None:
        """Ends the process."""
        if self._starting is not None:
            self._starting.cancel()
            with suppress(asyncio.CancelledError, ModelNotReady):
                await self._starting
        running, self._running = self._running, None
        if running is not None:
            await end(running.process)
            await asyncio.gather(*running.tasks)

    async def _process(self) -> _Running:
        running = self._running
        if running is not None and running.process.returncode is None:
            return running
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start())
        # Shielded: who gives up waiting must not stop it for the others.
        return await asyncio.shield(self._starting)

    async def _start(self) -> _Running:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "yeoul.core.llm.embedder_process"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is for us: running jobs are drained first
        )
        listener = asyncio.create_task(self._listen(process))
        try:
            async with asyncio.timeout(_START_SECONDS):
                with suppress(OSError):  # died at once: its end tells
                    await _send(process, {"threads": self._settings.local_threads or max(1, cores() - 1)})
                loaded = await _stream(process.stdout).readline()
        except TimeoutError:
            await end(process)
            await listener
            raise ModelNotReady(f"`local/{E5}` did not load in {_START_SECONDS} seconds.") from None
        except BaseException:
            await end(process)
            raise
        if not loaded:
            status = await process.wait()
            await listener
            said = " ".join(self._stderr)[-500:] or "it said nothing"
            raise ModelNotReady(f"`local/{E5}` did not start (status {status}): {said}")
        log.info("local embedding model is ready", pid=process.pid, seconds=round(time.monotonic() - began, 1))
        self._running = running = _Running(process, [listener])
        running.tasks.append(asyncio.create_task(_read(running)))
        return running

    async def _listen(self, process: Process) -> None:
        errors = _stream(process.stderr)
        while line := await errors.readline():
            text = line.decode(errors="replace").rstrip()
            self._stderr.append(text)
            log.debug("local embedding model", said=text)


async def _read(running: _Running) -> None:
    """Hands answers to who waits for them, until the process ends."""
    answers = _stream(running.process.stdout)
    while line := await answers.readline():
        said = json.loads(line)
        waiting = running.asked.get(said["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(said)
    status = await running.process.wait()
    for waiting in running.asked.values():
        if not waiting.done():
            waiting.set_exception(ModelUnavailable(f"The local embedding model ended (status {status}). Try again."))


async def _send(process: Process, order: dict[str, Any]) -> None:
    writer = process.stdin
    if writer is None:
        raise AssertionError("started with pipes")
    try:
        writer.write(json.dumps(order).encode() + b"\n")
        await writer.drain()
    except OSError as error:
        raise ModelUnavailable("The local embedding model ended. Try again.") from error


def _stream(pipe: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if pipe is None:
        raise AssertionError("started with pipes")
    return pipe


def _vectors(raw: bytes) -> "list[array[float]]":
    width = E5_DIMENSIONS * 4
    made = []
    for start in range(0, len(raw), width):
        vector = array("f", raw[start : start + width])
        if sys.byteorder == "big":
            vector.byteswap()
        made.append(vector)
    return made
