"""The tenant scope, the pools and the lines, on connections that are used again and broken off."""

import asyncio
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from tests.conftest import add_user
from yeoul.core.db.database import Database, after_commit, is_away
from yeoul.core.runtime.services import DatabaseUrls

BACKEND = text("SELECT pg_backend_pid()")
USERS = text("SELECT id FROM yeoul.users")


async def seen(session: AsyncSession) -> list[UUID]:
    return list((await session.scalars(USERS)).all())


async def test_a_scope_ends_with_its_transaction(urls: DatabaseUrls, user_id: UUID) -> None:
    """One connection serves one user after another, and nobody: each sees only themselves."""
    database = Database(urls.app, urls.service, pool_size=1)
    other = await add_user(database)
    backends = set()
    try:
        for somebody in (user_id, other, user_id):
            async with database.as_user(somebody) as session:
                backends.add(await session.scalar(BACKEND))
                assert await seen(session) == [somebody]
            async with AsyncSession(database._app) as session:
                backends.add(await session.scalar(BACKEND))
                assert await seen(session) == []
    finally:
        await database.close()
    assert len(backends) == 1


async def test_a_scope_ends_with_a_failed_transaction(urls: DatabaseUrls, user_id: UUID) -> None:
    database = Database(urls.app, urls.service, pool_size=1)
    try:
        with pytest.raises(DBAPIError):
            async with database.as_user(user_id) as session:
                await session.execute(text("SELECT 1 / 0"))
        with pytest.raises(ZeroDivisionError):
            async with database.as_user(user_id) as session:
                raise ZeroDivisionError
        async with AsyncSession(database._app) as session:
            assert await seen(session) == []
    finally:
        await database.close()


async def test_a_scope_cannot_be_left_open_by_hand(urls: DatabaseUrls, user_id: UUID) -> None:
    """A handler that sets the scope for the session, not the transaction, does not open it to whoever comes next."""
    database = Database(urls.app, urls.service, pool_size=1)
    other = await add_user(database)
    try:
        async with database.as_user(user_id) as session:
            await session.execute(text("SELECT set_config('yeoul.user_id', :id, false)"), {"id": str(user_id)})
        async with database.as_user(other) as session:
            assert await seen(session) == [other]
    finally:
        await database.close()


async def test_the_scope_commits_and_rolls_back(database: Database, user_id: UUID) -> None:
    rename = text("UPDATE yeoul.users SET name = :name")
    rung: list[str] = []
    async with database.as_user(user_id) as session:
        await session.execute(rename, {"name": "kept"})
        after_commit(session, lambda: rung.append("kept"))
        assert rung == []
    with suppress(ZeroDivisionError):
        async with database.as_user(user_id) as session:
            await session.execute(rename, {"name": "lost"})
            after_commit(session, lambda: rung.append("lost"))
            raise ZeroDivisionError
    async with database.as_service("test") as session:
        assert await session.scalar(text("SELECT name FROM yeoul.users")) == "kept"
    assert rung == ["kept"]


async def test_every_connection_tells_the_time_in_utc(urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE \"{connection.info.dbname}\" SET timezone = 'Asia/Seoul'")
    database = Database(urls.app, urls.service)
    line = database.line("test")
    try:
        zones = [(await line.fetch("SHOW timezone"))[0][0]]
        async with database.as_service("test") as session:
            zones.append(await session.scalar(text("SHOW timezone")))
        async with AsyncSession(database._app) as session:
            zones.append(await session.scalar(text("SHOW timezone")))
        async with database.service_connection() as connection:
            zones += await (await connection.execute("SHOW timezone")).fetchone() or ()
    finally:
        await line.close()
        await database.close()
    assert zones == ["UTC"] * 4


async def test_a_line_opens_again_after_it_broke(urls: DatabaseUrls, database: Database) -> None:
    line = database.line("test")
    ((backend,),) = await line.fetch("SELECT pg_backend_pid()")
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
    with pytest.raises(psycopg.OperationalError) as broken:
        await line.fetch("SELECT 1")
    assert is_away(broken.value)
    assert await line.fetch("SELECT 1") == [(1,)]
    assert await line.fetch("SELECT pg_backend_pid()") != [(backend,)]
    await line.close()


async def test_a_line_survives_a_canceled_statement(database: Database) -> None:
    line = database.line("test")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await line.fetch("SELECT pg_sleep(60)")
    assert await asyncio.gather(*(line.fetch("SELECT %s::int", [n]) for n in range(5))) == [[(n,)] for n in range(5)]
    await line.close()


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (psycopg.OperationalError("connection refused"), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        *((psycopg.errors.lookup(state)(), True) for state in ("57P01", "57P03", "53300", "40P01", "40001", "25006")),
        *((psycopg.errors.lookup(state)(), False) for state in ("54001", "22003", "23514", "42501", "42P01")),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), False),
    ],
)
def test_being_away_is_told_from_refusing(error: Exception, away: bool) -> None:
    assert is_away(error) is away
