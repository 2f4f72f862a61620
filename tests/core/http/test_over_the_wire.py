"""What only a real server shows: chunked bodies, WebSocket handshakes, connections that are cut."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocket
from structlog.testing import capture_logs

from tests.core.http.small_app import assert_problem, settings_with, small_app
from yeoul.core.base.errors import Unauthenticated


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@pytest.fixture
async def address() -> AsyncGenerator[str]:
    """host:port of a server that runs the application below."""
    server = Server(uvicorn.Config(wire_app(), port=0, log_config=None, lifespan="off", ws="websockets-sansio"))
    task = asyncio.create_task(server.serve())
    await server.up.wait()
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


def wire_app() -> FastAPI:
    app = small_app(settings_with(max_body_bytes=1024))

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("mid-stream")

        return StreamingResponse(body())

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, refuse: bool = False) -> None:
        if refuse:
            raise Unauthenticated("Sign in first.")
        await websocket.accept()
        await websocket.send_text("hello")
        raise RuntimeError("bug")

    return app


async def test_chunked_body_over_the_limit(address: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 100

    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        assert_problem(await client.post("/raw", content=body()), 413, "too_large")
        assert_problem(await client.post("/raw", content=b"x" * 5000), 413, "too_large")
        assert (await client.post("/raw", content=b"x" * 1000)).json() == 1000


async def test_half_an_answer_is_not_taken_for_a_whole_one(address: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        with capture_logs(), pytest.raises(httpx.RemoteProtocolError):
            await client.get("/half")


async def test_websocket_handshake_carries_the_request_id(address: str) -> None:
    with capture_logs() as logs:
        async with websockets.connect(f"ws://{address}/ws", additional_headers={"X-Request-ID": "mine"}) as ws:
            assert ws.response is not None
            assert ws.response.headers["x-request-id"] == "mine"
            assert await ws.recv() == "hello"
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (1011, "internal")
    assert [line["event"] for line in logs][:1] == ["request failed"]


async def test_websocket_refusal_is_a_problem(address: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(f"ws://{address}/ws?refuse=true"):
            pass
    response = refused.value.response
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.body is not None
    assert b'"code": "unauthenticated"' in response.body
