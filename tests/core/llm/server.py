"""A scripted HTTP server: answers as told, remembers what it was asked, and notices when the client hangs up."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

REASONS = {200: "OK", 206: "Partial Content", 404: "Not Found", 416: "Range Not Satisfiable"}


@dataclass
class Asked:
    """One request. ``gone`` is set when the client closed its connection."""

    path: str
    headers: dict[str, str]
    body: Any
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Answer:
    """What a script writes its answer with."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}", *(f"{k}: {v}" for k, v in headers.items())]
        await self._send("\r\n".join([*lines, "", ""]).encode())

    async def json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        await self.head(
            status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        )
        await self._send(data)

    async def open_stream(self) -> None:
        await self.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})

    async def piece(self, text: str) -> None:
        data = text.encode()
        await self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        await self._send(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        await self._send(data)

    def hang_up(self) -> None:
        self._writer.transport.abort()

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Script = Callable[[Asked, Answer], Awaitable[None]]


class Server:
    """Plays one script per request, in turn; the last one again and again."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.asked: list[Asked] = []
        self.arrived = asyncio.Condition()
        self.url = ""

    async def wait_for(self, count: int) -> Asked:
        """The request of this number, from 1, once it is here."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.asked) >= count)
        return self.asked[count - 1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(first.split(" ")[1], headers, json.loads(raw) if raw else None)
        async with self.arrived:
            self.asked.append(asked)
            self.arrived.notify_all()
        script = self.scripts[min(len(self.asked), len(self.scripts)) - 1]
        watcher = asyncio.create_task(self._watch(reader, asked))
        try:
            await script(asked, Answer(writer))
        except ConnectionError:
            asked.gone.set()
        finally:
            watcher.cancel()

    @staticmethod
    async def _watch(reader: asyncio.StreamReader, asked: Asked) -> None:
        with suppress(ConnectionError):
            await reader.read(1)  # a client that waits for its answer sends nothing: this is its end
        asked.gone.set()


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """A server on a free port of the loopback interface."""
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        listener.close()
