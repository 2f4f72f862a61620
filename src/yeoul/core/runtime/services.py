"""What a process has at hand: opened once at the start, handed to everything, closed at the end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import MetaData, text
from sqlalchemy.exc import SQLAlchemyError

from yeoul.core.base.errors import Unavailable
from yeoul.core.base.readiness import Check, Note
from yeoul.core.db import embedded, migrate
from yeoul.core.db.database import Database, patiently
from yeoul.core.db.listen import ListenHub, Ringer
from yeoul.core.db.tables import Base
from yeoul.core.events.hub import EventHub
from yeoul.core.jobs.doorbells.base import Doorbell
from yeoul.core.jobs.doorbells.factory import open_doorbell
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.jobs.places import Places
from yeoul.core.jobs.statistics import Statistics
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.limits import Limiter
from yeoul.core.runtime.keys import Keys
from yeoul.core.telemetry import tracing
from yeoul.settings import Settings

DATABASE_NAME = "yeoul"


@dataclass(frozen=True)
class DatabaseUrls:
    """The addresses of one database: the two logins', and the administrator's where we have it."""

    app: str
    service: str
    admin: str | None = None


@dataclass
class Services:
    """The process's parts. ``gateway`` opens nothing until it is used; the others are running."""

    settings: Settings
    database: Database
    listen: ListenHub
    ringer: Ringer
    doorbell: Doorbell
    events: EventHub
    gateway: Gateway
    kinds: Kinds
    statistics: Statistics
    readiness: dict[str, Check] = field(default_factory=dict)

    @cached_property
    def keys(self) -> Keys:
        """Whose key of a provider a call uses."""
        return Keys(self.settings, self.database, self.gateway)

    async def before_metrics(self) -> None:
        """Reads what metrics show of the whole installation; asked for at each scrape."""
        await self.statistics.refresh()


@asynccontextmanager
async def open_database(settings: Settings, metadata: MetaData, *, migrations: bool) -> AsyncGenerator[DatabaseUrls]:
    """Finds or starts PostgreSQL and, where asked and possible, migrates it.

    Raises ``Unavailable`` when an outside database is named without the service login's address.
    """
    if settings.database_url is not None:
        if settings.service_database_url is None:
            raise Unavailable(
                "YEOUL_DATABASE_URL is set, so YEOUL_SERVICE_DATABASE_URL is needed too: the yeoul_service login."
            )
        urls = DatabaseUrls(settings.database_url, settings.service_database_url, settings.admin_database_url)
        if migrations and urls.admin is not None:
            await asyncio.to_thread(migrate.upgrade_to_head, urls.admin, urls.app, urls.service, metadata)
        yield urls
        return
    server = await asyncio.to_thread(embedded.start, settings.data_dir)
    try:
        urls = DatabaseUrls(
            server.url(migrate.APP, DATABASE_NAME),
            server.url(migrate.SERVICE, DATABASE_NAME),
            server.url("postgres", DATABASE_NAME),
        )

        def made() -> None:
            migrate.ensure_database(server.url("postgres", "postgres"), DATABASE_NAME)
            migrate.upgrade_to_head(server.url("postgres", DATABASE_NAME), urls.app, urls.service, metadata)

        if migrations:
            await patiently(lambda: asyncio.to_thread(made))  # it may die meanwhile; its users start it again
        yield urls
    finally:
        await asyncio.to_thread(server.close)


@asynccontextmanager
async def open_services(settings: Settings, urls: DatabaseUrls, kinds: Kinds) -> AsyncGenerator[Services]:
    """Opens everything a process needs, in order, and closes it in reverse.

    The listening connection starts last, when all have told it what they want to hear: use ``services.listen.start()``
    after adding a worker.
    """
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(tracing.start, settings)
        stack.push_async_callback(asyncio.to_thread, tracing.stop)
        database = Database(urls.app, urls.service, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        listen, ringer = ListenHub(database), Ringer(database)
        stack.push_async_callback(ringer.stop)
        stack.push_async_callback(listen.stop)
        events = EventHub(database, listen)
        stack.push_async_callback(events.stop)
        places = Places(database, events)
        stack.push_async_callback(places.stop)
        doorbell = open_doorbell(settings.doorbell, database, listen, ringer)
        stack.push_async_callback(doorbell.stop)
        limiter = Limiter(settings, database)
        stack.push_async_callback(limiter.aclose)
        gateway = Gateway(settings, limiter=limiter)
        stack.push_async_callback(gateway.aclose)
        statistics = Statistics(database)
        statistics.register()
        stack.callback(statistics.unregister)
        services = Services(settings, database, listen, ringer, doorbell, events, gateway, kinds, statistics)
        services.readiness |= {
            "database": lambda: _database_answers(database),
            "migrations": lambda: _migrated(database),
            "worker": lambda: _somebody_works(database),
            "doorbell": lambda: _rings(doorbell),
            "models": limiter.ready,
        }
        limiter.start()
        await events.start()
        await places.start()
        await doorbell.start()
        yield services


async def _database_answers(database: Database) -> str | None:
    try:
        async with asyncio.timeout(3), database.service_connection() as connection:
            await connection.execute("SELECT 1")
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        return f"The database does not answer ({type(error).__name__}). Start it, or mend YEOUL_DATABASE_URL."
    return None


async def _migrated(database: Database) -> str | None:
    try:
        async with asyncio.timeout(3), database.as_service("readiness: schema version") as session:
            for history in migrate.histories(Base.metadata):
                found = await session.scalar(text(f"SELECT version_num FROM yeoul.{history.table}"))  # noqa: S608  (ours)
                if found != history.head:
                    return (
                        f"The database is at revision {found} of {history.name}, this version needs {history.head}. "
                        "Run `yeoul migrate`."
                    )
    except (SQLAlchemyError, OSError, TimeoutError):
        return "The schema's version cannot be read. Run `yeoul migrate`."
    return None


async def _rings(doorbell: Doorbell) -> str | None:
    return None if doorbell.trouble is None else Note(doorbell.trouble)


async def _somebody_works(database: Database) -> str | None:
    try:
        async with asyncio.timeout(3), database.as_service("readiness: workers") as session:
            workers = await session.scalar(text("SELECT count(*) FROM yeoul.workers WHERE expires_at > now()"))
    except (SQLAlchemyError, OSError, TimeoutError):
        return "The workers cannot be counted while the database does not answer."
    return None if workers else "No worker is running: jobs wait. Start `yeoul worker`, or use `yeoul serve`."
