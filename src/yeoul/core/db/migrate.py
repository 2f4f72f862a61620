"""Brings a database to the present schema: roles, database, migrations. Safe when several processes start at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import Connection, MetaData, create_engine, text
from sqlalchemy.engine import make_url

from yeoul.core.base.errors import Unavailable
from yeoul.core.db.database import driver_url
from yeoul.core.db.tables import SCHEMA

APP, SERVICE, OWNER = "yeoul_app", "yeoul_service", "yeoul_owner"
_LOCK = 0x7965_6F75  # 'yeou': everybody who migrates takes this advisory lock first
_VERSIONS = Path(__file__).parent / "migrations" / "versions"

log = structlog.get_logger(__name__)


class SchemaTooNew(Unavailable):
    """A newer version of Yeoul has migrated this database."""

    code = "schema_too_new"


@dataclass(frozen=True)
class Login:
    """A role that can log in, and the password it is made with."""

    name: str
    password: str | None


def ensure_database(admin_url: str, name: str) -> None:
    """Creates the database if it is not there."""
    with psycopg.connect(driver_url(admin_url), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def upgrade(admin_url: str, logins: tuple[Login, Login], metadata: MetaData) -> bool:
    """Creates roles and schema and runs what migrations are missing. Returns whether any ran.

    ``logins`` are the app's and the service's. The administrator needs CREATEROLE and CREATE on the database.
    """
    with owner_connection(admin_url, logins) as connection:
        before, newest = current(connection), head()
        if before != newest:
            check_known(before)
            from yeoul.core.db.migrations import runner  # noqa: PLC0415  (slow to import, and most starts need none)

            log.debug("migrating the database", revision=before, to=newest)
            runner.upgrade(connection, metadata)
        connection.execute(text("SELECT yeoul.ensure_event_partitions(2)"))
        connection.commit()
        return before != newest


def upgrade_to_head(admin_url: str, app_url: str, service_url: str, metadata: MetaData) -> bool:
    """``upgrade`` with the logins as their addresses name them."""
    app, service = make_url(app_url), make_url(service_url)
    return upgrade(admin_url, (Login(APP, app.password), Login(SERVICE, service.password)), metadata)


def drift(admin_url: str, logins: tuple[Login, Login], metadata: MetaData) -> list[object]:
    """What the mapped classes say that the database does not, as Alembic's operations; empty when they agree."""
    from yeoul.core.db.migrations import runner  # noqa: PLC0415  (slow to import, for checks alone)

    with owner_connection(admin_url, logins) as connection:
        return runner.differences(connection, metadata)


def current(connection: Connection) -> str | None:
    """The revision the database is at; null before the first."""
    if connection.execute(text("SELECT to_regclass('yeoul.alembic_version')")).scalar() is None:
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM yeoul.alembic_version")).scalar()
    return revision


@cache
def head() -> str:
    """The newest revision this version of Yeoul knows."""
    return _known()[-1]


def check_known(revision: str | None) -> None:
    """Raises ``SchemaTooNew`` when a database is at a revision that this version does not know."""
    if revision is not None and not knows(revision):
        raise SchemaTooNew(
            f"The database is at revision {revision}, and this Yeoul knows {head()} and older: a newer one was here. "
            "Install that version again, or restore a backup from before."
        )


def knows(revision: str) -> bool:
    """Whether this version of Yeoul has a migration to this revision."""
    return revision in _known()


def _known() -> list[str]:
    # A revision is the number its file's name starts with: to know it takes no Alembic.
    return sorted(path.stem.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


@contextmanager
def owner_connection(admin_url: str, logins: tuple[Login, Login]) -> Iterator[Connection]:
    """A connection that holds the migration lock and acts as ``yeoul_owner``."""
    engine = create_engine(make_url(admin_url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            _ensure_roles(connection, logins)
            connection.execute(text(f"SET ROLE {OWNER}"))
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            connection.execute(text(f"SET search_path = {SCHEMA}, public"))
            connection.commit()
            yield connection
    finally:
        engine.dispose()


def _ensure_roles(connection: Connection, logins: tuple[Login, Login]) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101  (the URL names the driver)
    database = sql.Identifier(raw.info.dbname)

    def exists(name: str) -> bool:
        return raw.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None

    if not exists(OWNER):
        raw.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(OWNER)))
        raw.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
    raw.execute(
        sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER))
    )
    for login in logins:
        name = sql.Identifier(login.name)
        if not exists(login.name):
            raw.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE").format(name))
            if login.password is not None:
                raw.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(login.password)))
        raw.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name))
