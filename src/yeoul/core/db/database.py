"""The process's way to PostgreSQL: two pools, two logins, and the tenant scope."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, LiteralString, cast
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from yeoul.core.base.faultpoints import reach
from yeoul.core.db.tables import SCHEMA

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]

_SET_SCOPE = text("SELECT set_config('yeoul.user_id', :user_id, true), set_config('yeoul.role', :role, true)")


_OPTIONS = f"-c search_path={SCHEMA},public -c timezone=UTC"
_LINK: dict[str, Any] = {
    "connect_timeout": 10,
    # A server that vanished without a word (power, network) is noticed within a minute, not after hours: by what it was
    # asked and did not acknowledge, or, while nothing is asked, by probes.
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


def driver_url(url: str) -> str:
    """The address in the form psycopg takes."""
    rendered = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return rendered.replace(" ", "%20")  # SQLAlchemy leaves a password's spaces as they are, which libpq refuses


def _engine(url: str, size: int, name: str) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"options": _OPTIONS, "application_name": name, **_LINK},
    )


_AWAY = frozenset({"08", "40", "53", "55", "57", "58"})
_READ_ONLY = "25006"
_PATIENCE_SECONDS = 0.3


def is_away(error: Exception) -> bool:
    """Whether the database cannot answer now, and may later; otherwise it refuses what it was asked.

    By class of SQLSTATE, not of exception: psycopg's ``OperationalError`` is also what says "nested too deeply".
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
        return cause.sqlstate[:2] in _AWAY or cause.sqlstate == _READ_ONLY
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError | OSError)


async def patiently(work: Callable[[], Awaitable[object]]) -> None:
    """Does what a process needs before it can begin, again and again while the database is away.

    Raises what the database refuses.
    """
    while True:
        try:
            await work()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("waiting for the database", error=str(error).strip())
            await asyncio.sleep(_PATIENCE_SECONDS)
        else:
            return


def after_commit(session: AsyncSession, callback: Callable[[], None]) -> None:
    """Calls ``callback`` once the session's transaction has committed: rings go here."""
    session.info.setdefault("after_commit", []).append(callback)


def _committed(session: AsyncSession) -> None:
    callbacks = session.info.get("after_commit", ())
    if callbacks:
        reach("commit.unrung")
    for callback in callbacks:
        callback()


class Line:
    """A connection of its own for one loop that runs hot statements: opened when first used, and again when it broke.

    Each statement is its own transaction, sent to the driver without a pool's or an ORM's ceremony, which would cost
    more than most of them. The loop never waits behind anybody else for a connection.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: Connection | None = None
        self._alone = asyncio.Lock()

    async def fetch(self, query: LiteralString, arguments: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """Executes one statement and returns its rows; raises ``psycopg.Error`` or ``OSError``."""
        async with self._alone:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._url, self._name)
            cursor = await self._connection.execute(query, arguments or None, prepare=True)
            return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Closes the connection; the next ``fetch`` would open another."""
        if self._connection is not None:
            await self._connection.close()


_BY_KEY = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
"""Hot statements touch a few rows by key: planned once, and never for the size the tables happened to have that day."""


async def connect(url: str, name: str) -> Connection:
    """A connection outside the pools, each statement its own transaction; ``name`` shows in ``pg_stat_activity``."""
    return await psycopg.AsyncConnection.connect(
        driver_url(url),
        autocommit=True,
        application_name=f"yeoul {name}",
        options=f"{_OPTIONS} {_BY_KEY}",
        **_LINK,
    )


class Database:
    """Two pools of connections, opened when first used.

    ``as_user`` is the rule, ``as_service`` the spelled-out exception, ``line`` for loops that run hot statements, and
    ``service_connection`` for the odd one.
    """

    def __init__(self, app_url: str, service_url: str, *, pool_size: int = 8) -> None:
        self.service_url = service_url
        self._app = _engine(app_url, pool_size, "yeoul app")
        self._service = _engine(service_url, pool_size, "yeoul service")

    async def close(self) -> None:
        """Closes both pools."""
        await self._app.dispose()
        await self._service.dispose()

    @asynccontextmanager
    async def as_user(self, user_id: UUID, *, role: Literal["user", "admin"] = "user") -> AsyncGenerator[AsyncSession]:
        """The tenant scope: one transaction that sees and writes this user's rows only. Commits at the end."""
        async with AsyncSession(self._app, expire_on_commit=False) as session, session.begin():
            await session.execute(_SET_SCOPE, {"user_id": str(user_id), "role": role})
            yield session
        _committed(session)

    @asynccontextmanager
    async def as_service(self, why: str) -> AsyncGenerator[AsyncSession]:
        """One transaction that sees every row, for work that is no single user's. Commits at the end.

        ``why`` is for the reader: a few words on what makes the bypass right.
        """
        async with AsyncSession(self._service, expire_on_commit=False, info={"why": why}) as session, session.begin():
            yield session
        _committed(session)

    @asynccontextmanager
    async def service_connection(self) -> AsyncGenerator[Connection]:
        """The driver's own connection, each statement its own transaction, on every user's rows."""
        async with self._service.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            raw = await autocommit.get_raw_connection()
            driver = cast("Connection", raw.driver_connection)
            yield driver

    def line(self, name: str) -> Line:
        """A connection of its own, as the service, for one loop; close it with the loop."""
        return Line(self.service_url, name)

    def pool_status(self) -> dict[str, int]:
        """Connections in use now, by pool."""
        return {name: pool.pool.checkedout() for name, pool in (("app", self._app), ("service", self._service))}  # type: ignore[attr-defined]
