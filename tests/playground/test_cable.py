"""``/cable``: the ActionCable protocol, by the letter and through Rails' own client."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests import javascript
from tests.conftest import Account, Register
from tests.playground.conftest import Execute
from yeoul.playground import sockets

JS = Path(__file__).parent / "js"
PROTOCOLS = [Subprotocol("actioncable-v1-json"), Subprotocol("actioncable-unsupported")]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return javascript.installed(JS)


async def test_rails_own_client(address: str, account: Account, node_modules: Path, tmp_path: Path) -> None:
    token = account.headers["Authorization"].removeprefix("Bearer ")
    said = await javascript.run(JS, "cable.mjs", node_modules, tmp_path, ADDRESS=address, TOKEN=token)
    assert said.splitlines()[-1] == "ok"


@asynccontextmanager
async def cable(address: str, headers: dict[str, str]) -> AsyncGenerator[ClientConnection]:
    where = address.replace("http", "ws") + "/cable"
    async with connect(where, additional_headers=headers, subprotocols=PROTOCOLS) as connection:
        yield connection


async def said(connection: ClientConnection, *, pings: bool = False) -> dict[str, Any]:
    """The next message, pings left out."""
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if pings or message.get("type") != "ping":
                return message


def identifier(execution_id: object, **more: object) -> str:
    return json.dumps({"channel": "PromptChannel", "execution_id": execution_id, **more})


async def subscribe(connection: ClientConnection, name: str) -> dict[str, Any]:
    await connection.send(json.dumps({"command": "subscribe", "identifier": name}))
    return await said(connection)


async def test_by_the_letter(address: str, account: Account, execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "PING_SECONDS", 0.05)
    made = await execute()
    async with cable(address, account.headers) as connection:
        assert connection.subprotocol == "actioncable-v1-json"
        assert await said(connection, pings=True) == {"type": "welcome"}
        pings = [await said(connection, pings=True) for _ in range(2)]
        assert [ping["type"] for ping in pings] == ["ping", "ping"]
        assert isinstance(pings[0]["message"], int)
        name = identifier(made["execution_id"])
        assert await subscribe(connection, name) == {"identifier": name, "type": "confirm_subscription"}
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["type"] != "end":
            frame = await said(connection)
            assert frame["identifier"] == name
            heard.append(frame["message"])
        assert heard[0] == {"type": "begin", "execution_id": made["execution_id"], "after": None}
        assert {"chunk", "complete"} < {one["type"] for one in heard}
        later = identifier(made["execution_id"], after=heard[-3]["cursor"])
        await subscribe(connection, later)
        rest = [(await said(connection))["message"]["type"] for _ in range(3)]
        assert rest == ["begin", "complete", "end"]


async def test_rejected(address: str, account: Account, execute: Execute, register: Register) -> None:
    made = await execute()
    other = await register("jun")
    async with cable(address, other.headers) as connection:
        assert await said(connection) == {"type": "welcome"}
        strangers = (
            identifier(made["execution_id"]),
            identifier(str(uuid4())),
            identifier("nonsense"),
            json.dumps({"channel": "ChatChannel", "execution_id": made["execution_id"]}),
            "no json",
        )
        for name in strangers:
            assert await subscribe(connection, name) == {"identifier": name, "type": "reject_subscription"}
        for nonsense in ("{", '{"command": "dance", "identifier": "x"}', "[]"):
            await connection.send(nonsense)
        own = await execute()  # mina's: jun may not
        name = identifier(own["execution_id"])
        assert (await subscribe(connection, name))["type"] == "reject_subscription"


async def test_unsubscribed(address: str, account: Account, execute: Execute) -> None:
    made = await execute(selected_model="fake/slow", user_prompt="100000 words, 5 ms")
    other = await execute()
    async with cable(address, account.headers) as connection:
        await said(connection)
        name = identifier(made["execution_id"])
        await subscribe(connection, name)
        while (await said(connection)).get("message", {}).get("type") != "chunk":
            pass
        await connection.send(json.dumps({"command": "unsubscribe", "identifier": name}))
        await connection.send(json.dumps({"command": "subscribe", "identifier": identifier(other["execution_id"])}))
        while (frame := await said(connection))["identifier"] == name:
            pass
        while frame.get("message", {}).get("type") != "end":
            frame = await said(connection)
            assert frame["identifier"] != name


async def test_nobody(address: str) -> None:
    async with cable(address, {}) as connection:
        told = {"type": "disconnect", "reason": "unauthorized", "reconnect": False}
        assert await said(connection) == told
        with pytest.raises(ConnectionClosed):
            await said(connection)


async def test_by_cookie_from_our_own_pages_alone(address: str, account: Account) -> None:
    token = account.headers["Authorization"].removeprefix("Bearer ")
    cookie = {"Cookie": f"yeoul_access={token}"}
    async with cable(address, cookie | {"Origin": address}) as connection:
        assert await said(connection) == {"type": "welcome"}
    with pytest.raises(Exception, match="403"):
        async with cable(address, cookie | {"Origin": "https://elsewhere.example"}):
            pass


async def test_the_server_stops(app: FastAPI, address: str, account: Account, execute: Execute) -> None:
    made = await execute(selected_model="fake/silent")
    async with cable(address, account.headers) as connection:
        await said(connection)
        await subscribe(connection, identifier(made["execution_id"]))
        assert (await said(connection))["message"]["type"] == "begin"
        app.state.services.events.end_all()
        while (message := await said(connection)).get("type") != "disconnect":
            pass
        assert message == {"type": "disconnect", "reason": "server_restart", "reconnect": True}
