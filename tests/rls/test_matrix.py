"""Every table, whoever asks, whatever they want to do: what comes of it.

The tables are the catalogue's. A new table that no line below speaks of is expected to be closed to the app's login.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
import pytest

from tests.rls.conftest import Seeded
from tests.rls.seed import ROWS

Actor = Literal["owner", "other", "nobody", "service"]
ACTORS: tuple[Actor, ...] = ("owner", "other", "nobody", "service")
DENIED = "denied"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Access:
    """What the app's login may do with a table: to the rows of its user, or to everybody's where it says so.

    ``hidden`` columns it may not even read of its own row.
    """

    select: bool = False
    hidden: frozenset[str] = frozenset()
    insert: bool = False
    update: frozenset[str] = frozenset()
    delete: bool = False
    everybodys: bool = False


APP = {
    "users": Access(
        select=True,
        hidden=frozenset({"password_hash", "disabled_at", "queue_weight"}),
        update=frozenset({"name", "updated_at"}),
    ),
    "sessions": Access(select=True, hidden=frozenset({"refresh_hash", "previous_hash"})),
    "identities": Access(select=True),
    "api_keys": Access(select=True, hidden=frozenset({"secret_hash"})),
    "secrets": Access(select=True, hidden=frozenset({"sealed"})),
    "jobs": Access(select=True),
    "steps": Access(select=True),
    "streams": Access(select=True),
    "events": Access(select=True),
    "playground_prompts": Access(select=True, insert=True),
    "playground_images": Access(select=True, insert=True),
    "playground_labels": Access(select=True, insert=True, delete=True),
    "playground_shares": Access(select=True, insert=True, delete=True),
    "playground_executions": Access(select=True, insert=True),
    "playground_cases": Access(select=True, insert=True),
    "playground_results": Access(select=True),
    "schedules": Access(select=True),
    "schedule_runs": Access(select=True),
    "idempotency_keys": Access(select=True, insert=True, delete=True),
    "kind_costs": Access(select=True, everybodys=True),
}
CLOSED = Access()

TABLES = sorted(ROWS)


@contextmanager
def acting(seeded: Seeded, actor: Actor) -> Iterator[Connection]:
    """A transaction of an actor, rolled back at the end."""
    with psycopg.connect(seeded.urls.service if actor == "service" else seeded.urls.app) as connection:
        scope: UUID | None = {"owner": seeded.owner, "other": seeded.other}.get(actor)
        if scope is None:
            connection.execute("SELECT 1")  # in a transaction, as the others are
        else:
            connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(scope)])
        yield connection
        connection.rollback()


def outcome(connection: Connection, statement: str, seeded: Seeded) -> int | str:
    """The number of rows a statement saw or changed; ``denied`` without the right; the name of another error."""
    try:
        with connection.transaction():
            cursor = connection.execute(statement.encode(), {"user": seeded.owner})
    except psycopg.errors.InsufficientPrivilege as error:
        return "policy" if "row-level security" in str(error) else DENIED
    except psycopg.errors.UniqueViolation:
        return "there already"
    return cursor.rowcount


def columns(seeded: Seeded, table: str) -> set[str]:
    with psycopg.connect(seeded.urls.service) as connection:
        names = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'yeoul' AND table_name = %s",
            [table],
        ).fetchall()
    assert names
    return {name for (name,) in names}


def test_every_table_has_a_row_to_try(seeded: Seeded) -> None:
    with psycopg.connect(seeded.urls.admin or "") as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'yeoul'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname NOT LIKE 'alembic_version%' ORDER BY relname"
        ).fetchall()
        empty = [
            name
            for (name,) in tables
            if connection.execute(f"SELECT FROM yeoul.{name} LIMIT 1".encode()).fetchone() is None
        ]
    assert [name for (name,) in tables] == TABLES, "add the new table to ROWS and to seed() in tests/rls/seed.py"
    assert empty == [], "add a row of the new table to seed() in tests/rls/seed.py"


@pytest.mark.parametrize("table", TABLES)
def test_select(seeded: Seeded, table: str) -> None:
    access = APP.get(table, CLOSED)
    where = ROWS[table]
    seen = {}
    for actor in ACTORS:
        with acting(seeded, actor) as connection:
            seen[actor] = outcome(connection, f"SELECT FROM yeoul.{table} WHERE {where}", seeded)
    rows = seen.pop("service")
    assert isinstance(rows, int)
    assert rows > 0
    if not access.select:
        assert seen == {"owner": DENIED, "other": DENIED, "nobody": DENIED}
    elif access.everybodys:
        assert seen == {"owner": rows, "other": rows, "nobody": rows}
    else:
        assert seen == {"owner": rows, "other": 0, "nobody": 0}


@pytest.mark.parametrize("table", TABLES)
def test_insert(seeded: Seeded, table: str) -> None:
    """The owner's own row again: who may insert it is told that it is there already."""
    with psycopg.connect(seeded.urls.service) as connection:
        row = connection.execute(
            f"SELECT to_jsonb(t)::text FROM yeoul.{table} t WHERE {ROWS[table]} LIMIT 1".encode(),  # noqa: S608
            {"user": seeded.owner},
        ).fetchone()
    assert row is not None
    copy = row[0].replace("'", "''").replace("%", "%%")
    statement = (
        f"INSERT INTO yeoul.{table} OVERRIDING SYSTEM VALUE"
        f" SELECT (jsonb_populate_record(null::yeoul.{table}, '{copy}')).*"
    )
    done = {}
    for actor in ACTORS:
        with acting(seeded, actor) as connection:
            done[actor] = outcome(connection, statement, seeded)
    assert done.pop("service") == "there already"
    if APP.get(table, CLOSED).insert:
        assert done == {"owner": "there already", "other": "policy", "nobody": "policy"}
    else:
        assert done == {"owner": DENIED, "other": DENIED, "nobody": DENIED}


@pytest.mark.parametrize("table", TABLES)
def test_update(seeded: Seeded, table: str) -> None:
    """Column by column, so that no status, owner, role or balance is open by mistake."""
    access = APP.get(table, CLOSED)
    names = columns(seeded, table)
    for actor in ACTORS:
        allowed = set()
        with acting(seeded, actor) as connection:
            for name in names:
                statement = f"UPDATE yeoul.{table} SET {name} = DEFAULT WHERE false"  # noqa: S608
                if outcome(connection, statement, seeded) != DENIED:
                    allowed.add(name)
            changed = {
                name: outcome(connection, f"UPDATE yeoul.{table} SET {name} = DEFAULT", seeded)  # noqa: S608
                for name in access.update
            }
        assert allowed == (names if actor == "service" else access.update), actor
        expected = {"owner": 1, "other": 1, "nobody": 0, "service": 2}[actor]  # their own row, if they are somebody
        assert changed == dict.fromkeys(access.update, expected), actor


@pytest.mark.parametrize("table", TABLES)
def test_delete(seeded: Seeded, table: str) -> None:
    statement = f"DELETE FROM yeoul.{table} WHERE {ROWS[table]}"  # noqa: S608
    done = {}
    for actor in ACTORS:
        with acting(seeded, actor) as connection:
            done[actor] = outcome(connection, statement, seeded)
    rows = done.pop("service")
    assert isinstance(rows, int)
    assert rows > 0
    if APP.get(table, CLOSED).delete:
        assert done == {"owner": rows, "other": 0, "nobody": 0}
    else:
        assert done == {"owner": DENIED, "other": DENIED, "nobody": DENIED}


def test_nobody_updates_another_user(seeded: Seeded) -> None:
    with acting(seeded, "other") as connection:
        statement = "UPDATE yeoul.users SET name = 'x' WHERE id = %(user)s"
        assert outcome(connection, statement, seeded) == 0


@pytest.mark.parametrize("table", [table for table, access in APP.items() if access.select])
def test_no_secret_is_read(seeded: Seeded, table: str) -> None:
    with acting(seeded, "owner") as connection:
        hidden = {
            name
            for name in columns(seeded, table)
            if outcome(connection, f"SELECT {name} FROM yeoul.{table}", seeded) == DENIED  # noqa: S608
        }
    assert hidden == APP[table].hidden


def test_an_idempotency_key_is_not_given_away(seeded: Seeded) -> None:
    with acting(seeded, "other") as connection:
        statement = (
            "INSERT INTO yeoul.idempotency_keys"
            " SELECT %(user)s, 'POST', '/api/jobs', 'k2', '', gen_random_uuid(), now()"
        )
        assert outcome(connection, statement, seeded) == "policy"
