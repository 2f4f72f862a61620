"""Accounts, jobs, streams, their functions and their row level security."""

from pathlib import Path

from yeoul.core.db.migrations.sql import run_files

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROOMS = ("limits.sql", "schedules.sql", "maintenance.sql")


def upgrade() -> None:
    """Runs the SQL files of the folder beside this one."""
    run_files(Path(__file__).with_suffix(""), "tables.sql", "functions.sql", *ROOMS, "policies.sql")


def downgrade() -> None:
    """There is nothing before the first migration."""
    raise NotImplementedError("Nothing comes before the first migration; restore a backup instead.")
