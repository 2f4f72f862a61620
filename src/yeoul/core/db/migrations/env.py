"""Alembic's entry: runs the migrations on the connection that ``yeoul.core.db.migrate`` hands over."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, MetaData

connection: Connection = context.config.attributes["connection"]
metadata: MetaData = context.config.attributes["metadata"]


def _ours(name: str | None, kind: str, _parents: Any) -> bool:  # noqa: ANN401  (Alembic's own signature)
    """Whether a thing found in the database is compared: our schema, without daily partitions and version tables."""
    if kind == "schema":
        return name == metadata.schema
    return not (kind == "table" and name is not None and name.startswith(("events_", "alembic_version")))


context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=context.config.attributes["table"],
    version_table_schema=metadata.schema,
    include_schemas=True,
    include_name=_ours,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
