"""Migrations: from nothing, by several at once, and what the mapped classes say."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Column, ForeignKey, MetaData, Table, Text, Uuid

from tests.conftest import logins
from yeoul.core.base.ids import new_id
from yeoul.core.db import migrate
from yeoul.core.db.embedded import EmbeddedServer
from yeoul.schema import METADATA

MIGRATE = """
import sys
from yeoul.core.db import migrate
from yeoul.schema import METADATA
server_url, url, name, app, service = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
migrate.ensure_database(server_url, name)
print(migrate.upgrade_to_head(url, app, service, METADATA))
"""


@pytest.fixture
def name(postgres: EmbeddedServer) -> Generator[str]:
    """The name of a database that does not exist yet."""
    name = f"test_{new_id().hex}"
    yield name
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def url(postgres: EmbeddedServer, name: str) -> str:
    """The administrator's address of an empty database."""
    migrate.ensure_database(postgres.url("postgres", "postgres"), name)
    return postgres.url("postgres", name)


def test_from_nothing_once(postgres: EmbeddedServer, url: str) -> None:
    assert migrate.upgrade(url, logins(postgres), METADATA) is True
    assert migrate.upgrade(url, logins(postgres), METADATA) is False
    assert migrate.drift(url, logins(postgres), METADATA) == []


def test_several_processes_at_once(postgres: EmbeddedServer, name: str) -> None:
    """They find neither the database nor its schema; one makes them, and all go on."""
    urls = [postgres.url("postgres", "postgres"), *(postgres.url(user, name) for user in ("postgres", migrate.APP))]
    command = [sys.executable, "-c", MIGRATE, urls[0], urls[1], name, urls[2], postgres.url(migrate.SERVICE, name)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert sorted(out.splitlines()[-1] for out, _ in said) == ["False", "False", "True"]
    assert migrate.drift(urls[1], logins(postgres), METADATA) == []


def test_drift_is_found_both_ways(postgres: EmbeddedServer, url: str) -> None:
    migrate.upgrade(url, logins(postgres), METADATA)
    mapped = MetaData(schema=METADATA.schema)
    for table in METADATA.tables.values():
        table.to_metadata(mapped)
    mapped.tables["yeoul.jobs"].append_column(Column("forgotten", Text))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE yeoul.stray (id integer)")
        connection.execute("DROP INDEX yeoul.jobs_due")
    found = str(migrate.drift(url, logins(postgres), mapped))
    assert all(word in found for word in ("forgotten", "stray", "jobs_due"))


def test_a_newer_schema_is_refused_and_left_alone(postgres: EmbeddedServer, url: str) -> None:
    migrate.upgrade(url, logins(postgres), METADATA)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE yeoul.alembic_version SET version_num = '9999'")
    with pytest.raises(migrate.SchemaTooNew, match="9999"):
        migrate.upgrade(url, logins(postgres), METADATA)


PRODUCT_MIGRATION = """
from alembic import op
from yeoul.core.db.migrations.sql import guard

revision, down_revision, branch_labels, depends_on = "0001", None, None, None


def upgrade():
    op.execute("CREATE TABLE yeoul.shop_orders (id uuid PRIMARY KEY, owner_id uuid NOT NULL REFERENCES users)")
    guard("shop_orders", app="SELECT")
"""


@pytest.fixture
def shop(tmp_path: Path) -> MetaData:
    """The schema with a product's own line of revisions."""
    (tmp_path / "0001_orders.py").write_text(PRODUCT_MIGRATION)
    found = MetaData(schema=METADATA.schema)
    for table in METADATA.tables.values():
        table.to_metadata(found)
    owner = Column("owner_id", Uuid, ForeignKey("yeoul.users.id"), nullable=False)
    Table("shop_orders", found, Column("id", Uuid, primary_key=True), owner)
    found.info["histories"] = (migrate.History("shop", tmp_path),)
    return found


def test_a_products_migrations_follow_the_cores(postgres: EmbeddedServer, url: str, shop: MetaData) -> None:
    assert migrate.upgrade(url, logins(postgres), METADATA) is True
    assert migrate.upgrade(url, logins(postgres), shop) is True
    assert migrate.upgrade(url, logins(postgres), shop) is False
    assert migrate.drift(url, logins(postgres), shop) == []
    with psycopg.connect(url, autocommit=True) as connection:
        secured = connection.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'yeoul.shop_orders'::regclass"
        ).fetchone()
    assert secured == (True, True)


def test_a_product_that_is_gone_stands_in_nobodys_way(postgres: EmbeddedServer, url: str, shop: MetaData) -> None:
    migrate.upgrade(url, logins(postgres), METADATA)
    migrate.upgrade(url, logins(postgres), shop)
    assert migrate.upgrade(url, logins(postgres), METADATA) is False


def test_a_newer_product_is_named(postgres: EmbeddedServer, url: str, shop: MetaData) -> None:
    migrate.upgrade(url, logins(postgres), shop)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE yeoul.alembic_version_shop SET version_num = '0009'")
    with pytest.raises(migrate.SchemaTooNew, match="the installed shop knows 0001"):
        migrate.upgrade(url, logins(postgres), shop)


def test_head_is_what_alembic_calls_it() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == migrate.head()
    assert sorted(revision.revision for revision in script.walk_revisions()) == migrate.CORE.known
