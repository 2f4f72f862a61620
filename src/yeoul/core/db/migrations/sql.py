"""What migrations are written with: SQL files, and row level security for a product's table."""

from pathlib import Path

from alembic import op


def run_files(folder: Path, *names: str) -> None:
    """Executes the named files as they stand; the driver's own cursor, so that ``%`` and ``:`` mean nothing special."""
    cursor = op.get_bind().connection.cursor()
    for name in names:
        cursor.execute((folder / name).read_text(encoding="utf-8"))
    cursor.close()


def guard(table: str, *, owner: str = "owner_id", app: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """Puts a product's table under row level security: each user has the rows whose ``owner`` column names them.

    ``app`` says what the API may do to those rows, down to columns (``SELECT (id, name), DELETE``); workers and other
    service code may do everything to all.
    """
    name = f'yeoul."{table}"'
    own = f'"{owner}" = (SELECT yeoul.current_user_id())'
    for statement in (
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        f'CREATE POLICY "{table}_service" ON {name} TO yeoul_owner, yeoul_service USING (true) WITH CHECK (true)',
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO yeoul_service",
        f'CREATE POLICY "{table}_own" ON {name} TO yeoul_app USING ({own}) WITH CHECK ({own})',
        f"GRANT {app} ON {name} TO yeoul_app",
    ):
        op.execute(statement)
