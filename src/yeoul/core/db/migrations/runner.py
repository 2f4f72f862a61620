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


def upgrade(connection: Connection, metadata: MetaData, versions: Path, table: str, to: str = "head") -> None:
    """Runs those migrations of a folder that the database lacks, up to a revision; ``table`` counts them."""
    command.upgrade(_config(connection, metadata, versions, table), to)


def differences(connection: Connection, metadata: MetaData) -> list[object]:
    """What the mapped classes say that the database does not, as Alembic's operations."""
    config = _config(connection, metadata, _FOLDER / "versions", "alembic_version")
    found: list[object] = []

    def collect(_: object, context: MigrationContext) -> list[object]:
        found.extend(compare_metadata(context, metadata))
        return []

    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=collect):
        script.run_env()
    return found


def _config(connection: Connection, metadata: MetaData, versions: Path, table: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions))
    config.attributes.update(connection=connection, metadata=metadata, table=table)
    return config
