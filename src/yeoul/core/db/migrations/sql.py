"""Runs a migration's SQL files."""

from pathlib import Path

from alembic import op


def run_files(folder: Path, *names: str) -> None:
    """Executes the named files as they stand; the driver's own cursor, so that ``%`` and ``:`` mean nothing special."""
    cursor = op.get_bind().connection.cursor()
    for name in names:
        cursor.execute((folder / name).read_text(encoding="utf-8"))
    cursor.close()
