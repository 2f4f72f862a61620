"""Starts the local model's process when it is first needed, and again when it died.

Each process of Yeoul that asks the local model has one of its own; they share nothing but the weights' file, which
the system keeps in memory once. Where that is too much, they share the one of ``yeoul llm``, by ``local_url``.
"""

import asyncio
import json
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import structlog

from yeoul.core.llm import weights
from yeoul.core.llm.child import cores, end
from yeoul.core.llm.errors import ModelNotReady
from yeoul.settings import Settings

START_SECONDS = 300
"""How long loading may take: a large model on a slow disk."""
_SAY_SECONDS = 5
_LAST_LINES = 20

log = structlog.get_logger(__name__)


@dataclass
class _Running:
    process: Process
    address: str
    key: str
    listener: asyncio.Task[None]


class LocalServer:
    """The local model's process. It ends with ``stop``, or with this process, however that ends.

    Listens on a free port of the loopback interface, with a key that nobody else knows, unless told otherwise.
    """

    def __init__(self, settings: Settings, *, host: str = "127.0.0.1", port: int = 0, key: str | None = None) -> None:
        self._settings = settings
        self._listens = {"host": host, "port": port}
        self._key = key
        self._running: _Running | None = None
        self._starting: asyncio.Task[_Running] | None = None
        self._stderr: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def pid(self) -> int | None:
        """The id of the process; None when there is none."""
        running = self._running
        return running.process.pid if running is not None and running.process.returncode is None else None

    async def address(self) -> tuple[str, str]:
        """Where the model listens, and the key it wants. Starts the process when there is none.

        Raises ``ModelNotReady`` when the weights are missing or the process will not start.
        """
        running = self._running
        if running is None or running.process.returncode is not None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
            # Shielded: who gives up waiting must not stop it for the others.
            running = await asyncio.shield(self._starting)
        return running.address, running.key

    async def died(self) -> int:
        """Waits until the process that runs now has ended; its status."""
        if self._running is None:
            raise AssertionError("nothing runs before `address` has answered")
        return await self._running.process.wait()

    async def stop(self) -> None:
        """Ends the process."""
        if self._starting is not None:
            self._starting.cancel()
            with suppress(asyncio.CancelledError, ModelNotReady):
                await self._starting
        running, self._running = self._running, None
        if running is not None:
            await end(running.process)
            await running.listener

    async def _start(self) -> _Running:
        settings = self._settings
        if (missing := weights.missing(settings.local_model, settings.weights_dir)) is not None:
            raise ModelNotReady(missing)
        name = weights.describe(settings.local_model).name
        began = time.monotonic()
        if self._running is not None:
            log.warning("local model died", model=name, status=self._running.process.returncode)
        key = self._key or secrets.token_urlsafe(24)
        order = self._order(name, key)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "yeoul.core.llm.local_server"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C is for us: answers in the making are drained first
        )
        listener = asyncio.create_task(self._listen(process))
        try:
            log.info("local model is loading", model=name, pid=process.pid)
            address = await self._ready(process, order, name, began)
        except BaseException:
            await end(process)
            await listener
            raise
        log.info("local model is ready", model=name, seconds=round(time.monotonic() - began, 1))
        self._running = _Running(process, address, key, listener)
        return self._running

    def _order(self, name: str, key: str) -> dict[str, object]:
        settings = self._settings
        return {
            "name": name,
            "path": str(weights.path(settings.local_model, settings.weights_dir)),
            "context": settings.local_context,
            "parallel": settings.local_parallel,
            "threads": settings.local_threads or max(1, cores() - 1),  # one is for everybody else
            "key": key,
            **self._listens,
            "verbosity": 2,  # warnings
        }

    async def _ready(self, process: Process, order: dict[str, object], name: str, began: float) -> str:
        """Hands over the order and waits for the address, saying every few seconds that it still loads."""
        if process.stdin is None or process.stdout is None:
            raise AssertionError("started with pipes")
        with suppress(BrokenPipeError, ConnectionResetError):  # died at once: its end tells
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
        answer = asyncio.create_task(process.stdout.readline())
        try:
            while not (await asyncio.wait({answer}, timeout=_SAY_SECONDS))[0]:
                seconds = time.monotonic() - began
                if seconds > START_SECONDS:
                    raise ModelNotReady(f"`local/{name}` did not load in {START_SECONDS} seconds: try a smaller model.")
                log.info("local model is still loading", model=name, seconds=round(seconds))
        finally:
            answer.cancel()
        if line := answer.result():
            return str(json.loads(line)["address"])
        status = await process.wait()
        said = " ".join(self._stderr) or "it said nothing"
        raise ModelNotReady(f"`local/{name}` did not start (status {status}): {said[-500:]}")

    async def _listen(self, process: Process) -> None:
        if process.stderr is None:
            raise AssertionError("started with pipes")
        while line := await process.stderr.readline():
            text = line.decode(errors="replace").rstrip()
            self._stderr.append(text)
            log.debug("local model", said=text)
