"""Brings a database to the present schema: roles, database, migrations. Safe when several processes start at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
        ran = False
        for history in histories(metadata):
            before, newest = current(connection, history), history.head
            if before != newest:
                history.check_known(before)
                log.debug("migrating the database", of=history.name, revision=before, to=newest)
                run(connection, metadata, history)
                ran = True
        connection.execute(text("SELECT yeoul.ensure_event_partitions(2)"))
        connection.commit()
        return ran


def upgrade_to_head(admin_url: str, app_url: str, service_url: str, metadata: MetaData) -> bool:
    """``upgrade`` with the logins as their addresses name them."""
    app, service = make_url(app_url), make_url(service_url)
    return upgrade(admin_url, (Login(APP, app.password), Login(SERVICE, service.password)), metadata)


def drift(admin_url: str, logins: tuple[Login, Login], metadata: MetaData) -> list[object]:
    """What the mapped classes say that the database does not, as Alembic's operations; empty when they agree."""
    from yeoul.core.db.migrations import runner  # noqa: PLC0415  (slow to import, for checks alone)

    with owner_connection(admin_url, logins) as connection:
        return runner.differences(connection, metadata)


def current(connection: Connection, history: "History | None" = None) -> str | None:
    """The revision the database is at, in the core's history or another; null before the first."""
    table = f"{SCHEMA}.{(history or CORE).table}"
    if connection.execute(text("SELECT to_regclass(:table)"), {"table": table}).scalar() is None:
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608  (ours)
    return revision


def head() -> str:
    """The newest revision of the core this version of Yeoul knows."""
    return CORE.head


@dataclass(frozen=True)
class History:
    """The migrations of the core or of one product: a line of revisions in a folder, counted in a table of its own.

    Each product has its own, so that one that is not installed any more stands in nobody's way.
    """

    name: str
    folder: Path
    """Holds ``0001_….py``, ``0002_….py``: a revision is the number its file's name starts with."""

    @property
    def table(self) -> str:
        """Where the database keeps how far it is."""
        return "alembic_version" if self.name == "core" else f"alembic_version_{self.name}"

    @cached_property
    def known(self) -> list[str]:
        """Every revision, in order. They are read off the files' names: it takes no Alembic."""
        return sorted(path.stem.partition("_")[0] for path in self.folder.glob("[0-9]*_*.py"))

    @property
    def head(self) -> str:
        """The newest revision."""
        return self.known[-1]

    def check_known(self, revision: str | None) -> None:
        """Raises ``SchemaTooNew`` when a database is at a revision that this version does not know."""
        if revision is not None and revision not in self.known:
            what = "this Yeoul" if self.name == "core" else f"the installed {self.name}"
            raise SchemaTooNew(
                f"The database is at revision {revision}, and {what} knows {self.head} and older: a newer one was "
                "here. Install that version again, or restore a backup from before."
            )


def run(connection: Connection, metadata: MetaData, history: History, to: str = "head") -> None:
    """Runs a history's migrations up to a revision, acting as ``yeoul_owner``."""
    from yeoul.core.db.migrations import runner  # noqa: PLC0415  (slow to import, and most starts need none)

    runner.upgrade(connection, metadata, history.folder, history.table, to)
    if history.name != "core":  # the core's own migration says so of its own
        connection.execute(text(f"GRANT SELECT ON {SCHEMA}.{history.table} TO {APP}, {SERVICE}"))


def revisions(connection: psycopg.Connection[tuple[Any, ...]]) -> dict[str, str]:
    """How far a database is: the core's revision and its products', by name; empty where Yeoul has not been."""
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"
        " AND starts_with(relname, 'alembic_version')",
        [SCHEMA],
    ).fetchall()
    found = {}
    for (table,) in tables:
        query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(SCHEMA, table))
        if (row := connection.execute(query).fetchone()) is not None:
            found[table.removeprefix("alembic_version").removeprefix("_") or "core"] = str(row[0])
    return found


def behind(found: Mapping[str, str], metadata: MetaData) -> list[History]:
    """The histories, of the core and of what is installed, whose newest revision is not among these.

    Raises ``SchemaTooNew`` when one of these is newer than what is installed.
    """
    lacking = [history for history in histories(metadata) if found.get(history.name) != history.head]
    for history in lacking:
        history.check_known(found.get(history.name))
    return lacking


def check_all_known(found: Mapping[str, str], metadata: MetaData) -> None:
    """Raises ``SchemaTooNew`` when one of these is newer than what is installed, or its product is not installed."""
    known = {history.name: history for history in histories(metadata)}
    for name, revision in found.items():
        if name not in known:
            raise SchemaTooNew(f"There are tables of the product {name}, which is not installed. Install it first.")
        known[name].check_known(revision)


CORE = History("core", Path(__file__).parent / "migrations" / "versions")


def histories(metadata: MetaData) -> tuple[History, ...]:
    """The core's, then those that the composition root has put into ``metadata.info["histories"]``."""
    return (CORE, *metadata.info.get("histories", ()))


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
