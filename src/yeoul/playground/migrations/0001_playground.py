"""Prompts, their executions and results, and what keeps these true."""

from pathlib import Path

from alembic import op

from yeoul.core.db.migrations.sql import guard, run_files

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, puts them under row level security, and watches the jobs."""
    folder = Path(__file__).with_suffix("")
    run_files(folder, "tables.sql")
    guard("playground_prompts", app="SELECT, INSERT")
    guard("playground_images", app="SELECT, INSERT")
    guard("playground_labels", app="SELECT, INSERT, DELETE")
    guard("playground_shares", app="SELECT, INSERT, DELETE")
    guard("playground_executions", app="SELECT, INSERT")
    guard("playground_cases", app="SELECT, INSERT")
    guard("playground_results", app="SELECT")
    run_files(folder, "functions.sql")


def downgrade() -> None:
    """Takes everything away."""
    op.execute("DROP TRIGGER iterations_moved ON yeoul.jobs")
    op.execute(
        "DROP FUNCTION yeoul.playground_said, yeoul.playground_iterations_moved, yeoul.playground_unfinished,"
        " yeoul.playground_cancel, yeoul.playground_delete"
    )
    op.execute(
        "DROP TABLE yeoul.playground_results, yeoul.playground_cases, yeoul.playground_executions,"
        " yeoul.playground_shares, yeoul.playground_labels, yeoul.playground_images, yeoul.playground_prompts"
    )
