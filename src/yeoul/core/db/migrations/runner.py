"""What needs Alembic: imported only when there is something to migrate or compare, since it takes 0.25 s."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

_FOLDER = Path(__file__).parent


def upgrade(connection: Connection, metadata: MetaData, to: str = "head") -> None:
    """Runs the migrations that the database lacks, up to a revision."""
    command.upgrade(_config(connection, metadata), to)


def differences(connection: Connection, metadata: MetaData) -> list[object]:
    """What the mapped classes say that the database does not, as Alembic's operations."""
    config = _config(connection, metadata)
    found: list[object] = []

    def collect(_: object, context: MigrationContext) -> list[object]:
        found.extend(compare_metadata(context, metadata))
        return []

    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=collect):
        script.run_env()
    return found


def _config(connection: Connection, metadata: MetaData) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes.update(connection=connection, metadata=metadata)
    return config
