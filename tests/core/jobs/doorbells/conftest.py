"""The three transports behind one face, and processes that hear a bell."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from tests.brokers import Broker, RabbitServer, RedisServer, running
from tests.core.runtime.helpers import until
from yeoul.core.db import embedded
from yeoul.core.db.database import Database
from yeoul.core.db.listen import ListenHub, Ringer
from yeoul.core.jobs.doorbells.base import Doorbell
from yeoul.core.jobs.doorbells.factory import open_doorbell
from yeoul.core.runtime.services import DatabaseUrls


@dataclass(frozen=True)
class Transport:
    """What carries the bell: its setting, and how to take it away and bring it back."""

    name: str
    address: str
    kill: Callable[[], None]
    start: Callable[[], None]


class Home:
    """One process's doorbell, on connections of its own, and how often it was heard."""

    def __init__(self, address: str, urls: DatabaseUrls) -> None:
        self._database = Database(urls.app, urls.service, pool_size=2)
        self._listen, self._ringer = ListenHub(self._database), Ringer(self._database)
        self.bell: Doorbell = open_doorbell(address, self._database, self._listen, self._ringer)
        self.heard = 0
        self._news = asyncio.Event()
        self.bell.on_ring(self._count)

    def _count(self) -> None:
        self.heard += 1
        self._news.set()

    async def start(self) -> None:
        """Begins to hear."""
        await self._listen.start()
        await self.bell.start()

    async def stop(self) -> None:
        """Rings what is to be rung, then closes everything, as ``open_services`` does."""
        await self.bell.stop()
        await self._listen.stop()
        await self._ringer.stop()
        await self._database.close()

    async def until_connected(self) -> None:
        """Waits until rings are heard."""

        async def hears() -> bool:
            return self.bell.trouble is None

        await until(hears)

    async def until_lost(self) -> None:
        """Waits until it is noticed that none are."""

        async def hears_nothing() -> bool:
            return self.bell.trouble is not None

        await until(hears_nothing)

    async def until_heard(self, times: int) -> None:
        """Waits until the bell was heard so often, since the beginning."""
        async with asyncio.timeout(10):
            while self.heard < times:
                self._news.clear()
                await self._news.wait()


MakeHome = Callable[..., AbstractAsyncContextManager[Home]]


@pytest.fixture
def home(transport: Transport, urls: DatabaseUrls) -> MakeHome:
    """Opens another process, connected; with ``elsewhere``, one of an installation on another database."""

    @asynccontextmanager
    async def make(*, elsewhere: bool = False) -> AsyncGenerator[Home]:
        made = Home(transport.address, on_database(urls, "postgres") if elsewhere else urls)
        try:
            await made.start()
            await made.until_connected()
            yield made
        finally:
            await made.stop()

    return make


def on_database(urls: DatabaseUrls, name: str) -> DatabaseUrls:
    """The same logins on another database of the server."""
    app, service = (
        make_url(url).set(database=name).render_as_string(hide_password=False) for url in (urls.app, urls.service)
    )
    return DatabaseUrls(app, service)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer]:
    """A Redis for the whole run."""
    if (missing := RedisServer.missing()) is not None:
        pytest.skip(missing)
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Generator[RabbitServer]:
    """A RabbitMQ for the whole run: it takes seconds to start."""
    if (missing := RabbitServer.missing()) is not None:
        pytest.skip(missing)
    with running(RabbitServer(tmp_path_factory.mktemp("rabbitmq"))) as server:
        yield server


BROKERS = ["redis", pytest.param("rabbitmq", marks=pytest.mark.xdist_group("rabbitmq"))]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """A message broker, running."""
    found: Broker = request.getfixturevalue(request.param)
    found.start()  # the test before may have left it dead
    return found


@pytest.fixture(params=["postgres", *BROKERS])
def transport(request: pytest.FixtureRequest, postgres: embedded.EmbeddedServer, urls: DatabaseUrls) -> Transport:
    """What carries the bell, running."""
    if request.param == "postgres":
        return _postgres(postgres.url("postgres", "postgres"), str(make_url(urls.service).database))
    found: Broker = request.getfixturevalue(request.param)
    found.start()
    return Transport(request.param, found.url, found.kill, found.start)


def _postgres(administrator: str, database: str) -> Transport:
    """The test's own database goes away, not the server that other tests share."""
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")

    def kill() -> None:
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(allow.format(sql.Identifier(database), sql.Literal(False)))
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])

    def start() -> None:
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(allow.format(sql.Identifier(database), sql.Literal(True)))

    return Transport("postgres", "postgres", kill, start)
