"""A server that vanished without a word: what a process asked it must not wait for the kernel's quarter of an hour."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable

import psutil
import pytest

from yeoul.core.db.database import Database


async def of_a_line(database: Database) -> None:
    await database.line("test").fetch("SELECT")


async def of_a_pool(database: Database) -> None:
    async with database.service_connection():
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such option for a socket")
@pytest.mark.parametrize("ask", [of_a_line, of_a_pool])
async def test_what_is_not_acknowledged_ends_the_link(ask: Callable[[Database], Awaitable[None]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        database = Database("postgresql://nobody/none", f"postgresql://nobody@127.0.0.1:{port}/none")
        task = asyncio.ensure_future(ask(database))
        accepted, mine = await asyncio.get_running_loop().sock_accept(server)
        with accepted:
            (fd,) = [link.fd for link in psutil.Process().net_connections("tcp4") if link.laddr == mine]
            with socket.socket(fileno=os.dup(fd)) as link:
                assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
                assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            task.cancel()
            await asyncio.wait([task])
        await database.close()
