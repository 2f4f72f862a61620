"""Makes the schema anew out of copied rows, in one transaction: whoever looks sees the old, or the new whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import MetaData, text
from sqlalchemy.engine import make_url

from yeoul.core.base.errors import Conflict
from yeoul.core.db import migrate
from yeoul.core.db.copying import Sync
from yeoul.core.db.tables import SCHEMA

ASIDE = f"{SCHEMA}_before_"
"""How the names of schemas begin that were put aside."""


class DatabaseNotEmpty(Conflict):
    """The database that is to be filled holds somebody's data."""

    code = "database_not_empty"


@dataclass(frozen=True)
class Target:
    """A database, by its three addresses. ``aside``: the name under which what is there is kept; null: keep nothing."""

    admin: str
    app: str
    service: str
    aside: str | None = None


def rebuild(
    target: Target,
    metadata: MetaData,
    revisions: Mapping[str, str],
    fill: Callable[[Sync], None],
    then: Callable[[Sync], None],
) -> None:
    """Makes the tables of these revisions, calls ``fill``, migrates to the newest, calls ``then``, and commits it all.

    ``revisions`` are the core's and its products', by name.

    Both are called as ``yeoul_owner``. Raises ``DatabaseNotEmpty`` when there is data, and no name to keep it under.
    """
    app, service = make_url(target.app), make_url(target.service)
    logins = (migrate.Login(migrate.APP, app.password), migrate.Login(migrate.SERVICE, service.password))
    with migrate.owner_connection(target.admin, logins) as connection:
        connection.execute(text("SELECT 1"))  # begins the transaction that everything below is part of
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)  # noqa: S101  (the address names the driver)
        _make_room(raw, target.aside)
        for history in migrate.histories(metadata):
            if history.name in revisions:
                migrate.run(connection, metadata, history, revisions[history.name])
        fill(raw)
        for history in migrate.histories(metadata):
            migrate.run(connection, metadata, history)
        raw.execute("SELECT yeoul.ensure_event_partitions(2)")
        then(raw)
        connection.commit()


def holds_data(connection: Sync) -> bool:
    """Whether anybody is registered here."""
    row = connection.execute("SELECT to_regclass('yeoul.users') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return False
    found = connection.execute("SELECT EXISTS (SELECT FROM yeoul.users)").fetchone()
    return found is not None and bool(found[0])


def put_aside(connection: Sync) -> list[str]:
    """The schemas that were put aside by earlier calls."""
    query = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s) ORDER BY 1"
    return [name for (name,) in connection.execute(query, [ASIDE]).fetchall()]


def _make_room(connection: Sync, aside: str | None) -> None:
    schema = sql.Identifier(SCHEMA)
    if not holds_data(connection):
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))
    elif aside is None:
        raise DatabaseNotEmpty("The database holds accounts already. --replace puts them aside.")
    else:
        connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(schema, sql.Identifier(aside)))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
