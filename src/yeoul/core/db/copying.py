"""The rows of our schema, out of one database and into another, as COPY's text: the same on every PostgreSQL version.

Nothing else is carried over: tables, functions and policies are what the migrations of the recorded revision make. So a
copy needs no tool of the server's version, and reads as ``yeoul_service``, which sees every row.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import psycopg
from psycopg import sql

from yeoul.core.base.errors import Unavailable
from yeoul.core.db.tables import SCHEMA

Sync = psycopg.Connection[tuple[Any, ...]]

BLOCK_BYTES = 1 << 18
_DAY = re.compile(r"events_\d{8}")
_PLAIN = """
SELECT set_config(name, value, true) FROM (VALUES
    ('client_encoding', 'UTF8'), ('datestyle', 'ISO'), ('intervalstyle', 'postgres'),
    ('bytea_output', 'hex'), ('extra_float_digits', '1'), ('timezone', 'UTC')) s(name, value)
"""  # until the transaction ends: what values look like, whatever the server or the login is set to

_TABLES = """
SELECT c.relname, array_agg(a.attname ORDER BY a.attnum) FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND NOT starts_with(c.relname, 'alembic_version')  -- the migrations write it
GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
SELECT f.relname, t.relname FROM pg_constraint k
JOIN pg_class f ON f.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
WHERE k.contype = 'f' AND f.relnamespace = 'yeoul'::regnamespace AND f.oid <> t.oid AND NOT f.relispartition
"""
_PARTITIONS = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relispartition ORDER BY 1
"""
_BYTES = """
SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = 'yeoul'::regnamespace AND relkind = 'r'
"""
_SEQUENCES = """
SELECT c.relname, a.attname, pg_get_serial_sequence(format('yeoul.%I', c.relname), a.attname) FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relkind = 'r'
    AND pg_get_serial_sequence(format('yeoul.%I', c.relname), a.attname) IS NOT NULL
"""
_MAKE_DAY = """
DO $$
DECLARE
    name text := {name};
    day  timestamptz := to_date(substr(name, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass('yeoul.' || name) IS NULL THEN
        EXECUTE format('CREATE TABLE yeoul.%I PARTITION OF yeoul.events FOR VALUES FROM (%L) TO (%L)',
                       name, yeoul.uuid7_floor(day), yeoul.uuid7_floor(day + interval '1 day'));
        EXECUTE format('ALTER TABLE yeoul.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE yeoul.%I FORCE ROW LEVEL SECURITY', name);
    END IF;
END $$
"""


class RowsDoNotFit(Unavailable):
    """Rows that were copied out do not go into the tables there are."""

    code = "rows_do_not_fit"


@dataclass(frozen=True)
class Table:
    """A table by name, with the columns that are copied."""

    name: str
    columns: tuple[str, ...]


def hold_snapshot(connection: Sync) -> None:
    """Begins a transaction in which everything read is of one moment, whatever is written meanwhile."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    connection.execute(_PLAIN)


def tables(connection: Sync) -> list[Table]:
    """Every table whose rows are copied, those that others refer to first."""
    found = {name: Table(name, tuple(columns)) for name, columns in connection.execute(_TABLES).fetchall()}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(found, ()))
    for referring, referred in connection.execute(_REFERENCES).fetchall():
        order.add(referring, referred)
    return [found[name] for name in order.static_order()]


def days(connection: Sync) -> list[str]:
    """The daily partitions of the event log, by name."""
    return [name for (name,) in connection.execute(_PARTITIONS).fetchall() if _DAY.fullmatch(name)]


def size(connection: Sync) -> int:
    """What all tables take on the disk, in bytes: about what copying them brings."""
    row = connection.execute(_BYTES).fetchone()
    return 0 if row is None else int(row[0])


def count(connection: Sync, table: Table) -> int:
    """The rows of a table."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_named(table.name))).fetchone()
    return 0 if row is None else int(row[0])


def rows_out(connection: Sync, table: Table) -> Generator[bytes]:
    """A table's rows as COPY's text, in blocks of about ``BLOCK_BYTES``: memory stays flat whatever its size.

    Close it when it is not read to its end: until then the connection is good for nothing else.
    """
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(_columns(table), _named(table.name))
    block = bytearray()
    with connection.cursor().copy(query) as copy:
        for piece in copy:
            block += piece
            if len(block) >= BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)


def empty_tables(connection: Sync, expected: Sequence[Table], partitions: Iterable[str]) -> None:
    """Makes a fresh schema ready for rows: what the migrations put there goes, and nothing reacts to what comes.

    Runs as the tables' owner, in the transaction that ``rows_in`` and ``settle`` go on with: COPY does not write
    through row level security, so until ``settle`` the owner, who is alone here, passes it. Raises ``RowsDoNotFit``.
    """
    connection.execute(_PLAIN)
    known = {table.name: set(table.columns) for table in tables(connection)}
    for table in expected:
        if lacking := set(table.columns) - known.get(table.name, set()):
            raise RowsDoNotFit(
                f"The table {table.name} has no {', '.join(sorted(lacking))} in this version's schema. "
                "Install the version of Yeoul that made these rows."
            )
    for name in known:
        connection.execute(sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(_named(name)))
        connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(_named(name)))
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(_named, known))))
    for name in partitions:
        if _DAY.fullmatch(name):
            connection.execute(sql.SQL(_MAKE_DAY).format(name=sql.Literal(name)))


def rows_in(connection: Sync, table: Table, blocks: Iterable[bytes]) -> int:
    """Writes rows as they came out of ``rows_out``; returns how many."""
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(_named(table.name), _columns(table))
    with connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for block in blocks:
                copy.write(block)
        return cursor.rowcount


def settle(connection: Sync) -> None:
    """Makes the tables what they were before ``empty_tables``: protected, with triggers, sequences beyond the rows."""
    for table in tables(connection):
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(_named(table.name)))
        connection.execute(sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(_named(table.name)))
        connection.execute(sql.SQL("ANALYZE {}").format(_named(table.name)))
    for name, column, sequence in connection.execute(_SEQUENCES).fetchall():
        highest = sql.SQL("SELECT setval({}, greatest(max({c}), 1), max({c}) IS NOT NULL) FROM {}")
        connection.execute(highest.format(sql.Literal(sequence), _named(name), c=sql.Identifier(column)))


def _named(table: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, table)


def _columns(table: Table) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))
