"""The API over real HTTP with a scripted kind, and the hub alone."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from tests.conftest import Register
from tests.core.events.reading import script
from yeoul.core.db.database import Database
from yeoul.core.db.listen import ListenHub
from yeoul.core.events.hub import EventHub
from yeoul.core.jobs.kinds import Kinds
from yeoul.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nobody waits for jobs that a test leaves running."""
    return settings.model_copy(update={"drain_seconds": 0.05})


@pytest.fixture
def kinds() -> Kinds:
    kinds = Kinds()
    kinds.add(script)
    return kinds


@pytest.fixture
async def http(address: str, register: Register) -> AsyncGenerator[httpx.AsyncClient]:
    """A signed-in client of the real server."""
    account = await register("mina")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, headers=account.headers, timeout=30, limits=limits) as http:
        yield http


@pytest.fixture
async def hub(database: Database) -> AsyncGenerator[EventHub]:
    """A hub that listens."""
    listen = ListenHub(database)
    hub = EventHub(database, listen)
    await listen.start()
    await hub.start()
    yield hub
    await hub.stop()
    await listen.stop()
