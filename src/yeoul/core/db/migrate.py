"""Brings a database to the present schema: roles, database, migrations. Safe when several processes start at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, MetaData, create_engine, text
from sqlalchemy.engine import make_url

from yeoul.core.db.database import driver_url
from yeoul.core.db.tables import SCHEMA

APP, SERVICE, OWNER = "yeoul_app", "yeoul_service", "yeoul_owner"
_LOCK = 0x7965_6F75  # 'yeou': everybody who migrates takes this advisory lock first
_FOLDER = Path(__file__).parent / "migrations"


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
    with _owner_connection(admin_url, logins) as connection:
        before = current(connection)
        command.upgrade(_config(connection, metadata), "head")
        connection.execute(text("SELECT yeoul.ensure_event_partitions(2)"))
        connection.commit()
        return before != head()


def upgrade_to_head(admin_url: str, app_url: str, service_url: str, metadata: MetaData) -> bool:
    """``upgrade`` with the logins as their addresses name them."""
    app, service = make_url(app_url), make_url(service_url)
    return upgrade(admin_url, (Login(APP, app.password), Login(SERVICE, service.password)), metadata)


def drift(admin_url: str, logins: tuple[Login, Login], metadata: MetaData) -> list[object]:
    """What the mapped classes say that the database does not, as Alembic's operations; empty when they agree."""
    with _owner_connection(admin_url, logins) as connection:
        config = _config(connection, metadata)
        found: list[object] = []
        script = ScriptDirectory.from_config(config)

        def collect(_: object, context: MigrationContext) -> list[object]:
            found.extend(compare_metadata(context, metadata))
            return []

        from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415  (used by this check alone)

        with EnvironmentContext(config, script, fn=collect):
            script.run_env()
        return found


def current(connection: Connection) -> str | None:
    """The revision the database is at; null before the first."""
    if connection.execute(text("SELECT to_regclass('yeoul.alembic_version')")).scalar() is None:
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM yeoul.alembic_version")).scalar()
    return revision


def head() -> str:
    """The newest revision this version of Yeoul knows."""
    newest = ScriptDirectory.from_config(_config(None, None)).get_current_head()
    assert newest is not None  # noqa: S101  (there is always a first migration)
    return newest


def _config(connection: Connection | None, metadata: MetaData | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes.update(connection=connection, metadata=metadata)
    return config


@contextmanager
def _owner_connection(admin_url: str, logins: tuple[Login, Login]) -> Iterator[Connection]:
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
    raw.execute(sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER)))
    for login in logins:
        name = sql.Identifier(login.name)
        if not exists(login.name):
            raw.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE").format(name))
            if login.password is not None:
                raw.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(login.password)))
        raw.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name))
