"""``yeoul migrate``, mostly on a PostgreSQL that is somebody's own: roles, database, schema."""

import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from tests.commands.conftest import Yeoul, change, one
from yeoul.core.db import embedded, migrate
from yeoul.core.db.database import driver_url
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.schema import METADATA

HEAD = migrate.head()


@pytest.fixture(scope="module")
def cluster() -> Generator[embedded.EmbeddedServer]:
    """A PostgreSQL on which Yeoul has never been."""
    with tempfile.TemporaryDirectory(prefix="yeoul-") as folder, closing(embedded.start(Path(folder))) as server:
        yield server


def addresses(cluster: embedded.EmbeddedServer, **passwords: str) -> dict[str, str | None]:
    def url(user: str) -> str:
        made = make_url(cluster.url(user, "ours"))
        if user in passwords:
            made = made.set(password=passwords[user])
        return made.set(drivername="postgresql").render_as_string(hide_password=False)

    return {
        "YEOUL_DATABASE_URL": url("yeoul_app"),
        "YEOUL_SERVICE_DATABASE_URL": url("yeoul_service"),
        "YEOUL_ADMIN_DATABASE_URL": url("postgres"),
    }


def test_everything_is_made(yeoul: Yeoul, cluster: embedded.EmbeddedServer) -> None:
    variables = addresses(cluster, yeoul_app="one: @/?", yeoul_service="another' one")

    missing = yeoul("migrate", "--check", **variables)
    assert missing.exit_code == 1
    assert "Cannot open the database of YEOUL_SERVICE_DATABASE_URL" in missing.stderr

    made = yeoul("migrate", **variables)
    assert made.exit_code == 0, made.stderr
    assert f"Migrated the database from revision (none) to {HEAD}, " in made.stderr
    assert "yeoul_app and yeoul_service can sign in." in made.stderr
    for variable in ("YEOUL_DATABASE_URL", "YEOUL_SERVICE_DATABASE_URL"):
        with psycopg.connect(driver_url(variables[variable] or "")) as connection:
            assert connection.execute(
                "SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
            ).fetchone() == (False,)

    again = yeoul("migrate", **variables)
    assert again.exit_code == 0
    assert f"at revision {HEAD} already" in again.stderr
    assert yeoul("migrate", "--check", **variables).exit_code == 0
    assert yeoul("migrate", "--check", **variables | {"YEOUL_ADMIN_DATABASE_URL": None}).exit_code == 0
    assert yeoul("users", "list", **variables).exit_code == 0


def test_a_role_that_is_there_keeps_its_password(yeoul: Yeoul, cluster: embedded.EmbeddedServer) -> None:
    assert yeoul("migrate", **addresses(cluster, yeoul_app="x", yeoul_service="y")).exit_code in (0, 1)
    other = yeoul("migrate", **addresses(cluster, yeoul_app="not the one", yeoul_service="nor this"))
    assert other.exit_code == 1
    assert "yeoul_app cannot sign in" in other.stderr
    assert "ALTER ROLE yeoul_app PASSWORD" in other.stderr
    assert "not the one" not in other.stderr


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product with a migration, installed since the database was migrated."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "0001_orders.py").write_text(
        "from alembic import op\n"
        "revision, down_revision, branch_labels, depends_on = '0001', None, None, None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE yeoul.shop_orders (id uuid PRIMARY KEY)')\n"
    )
    monkeypatch.setitem(METADATA.info, "histories", (*METADATA.info["histories"], migrate.History("shop", folder)))


def test_a_product_that_is_not_migrated_yet(yeoul: Yeoul, urls: DatabaseUrls, shop: None) -> None:
    missing = yeoul("migrate", "--check")
    assert missing.exit_code == 1
    assert "is at revision (none) of shop and must be at 0001: run `yeoul migrate`" in missing.stderr

    admin = {"YEOUL_ADMIN_DATABASE_URL": urls.admin}
    made = yeoul("migrate", **admin)
    assert made.exit_code == 0, made.stderr
    assert "Migrated shop from revision (none) to 0001." in made.stderr
    assert one(urls, "SELECT to_regclass('yeoul.shop_orders')") is not None

    assert yeoul("migrate", "--check").exit_code == 0
    assert "nothing to do" in yeoul("migrate", **admin).stderr


def test_a_product_that_is_newer_than_installed(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    change(urls, "UPDATE yeoul.alembic_version_playground SET version_num = '9999'")
    newer = yeoul("migrate", "--check")
    assert newer.exit_code == 1
    assert "the installed playground knows" in newer.stderr


def test_it_takes_an_administrator(yeoul: Yeoul) -> None:
    done = yeoul("migrate")
    assert done.exit_code == 1
    assert "set YEOUL_ADMIN_DATABASE_URL" in done.stderr


def test_an_administrator_who_may_not_make_roles(yeoul: Yeoul, empty: DatabaseUrls) -> None:
    done = yeoul(
        *("migrate",),
        YEOUL_DATABASE_URL=empty.app,
        YEOUL_SERVICE_DATABASE_URL=empty.service,
        YEOUL_ADMIN_DATABASE_URL=empty.service,
    )
    assert done.exit_code == 1
    assert "needs CREATEROLE" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, "what it does, and why it failed"


def test_addresses_of_different_databases(yeoul: Yeoul, urls: DatabaseUrls, empty: DatabaseUrls) -> None:
    done = yeoul("migrate", YEOUL_ADMIN_DATABASE_URL=empty.admin)
    assert done.exit_code == 1
    assert "The addresses name different databases" in done.stderr
    assert one(empty, "SELECT to_regclass('yeoul.alembic_version')") is None


def test_another_login_is_named(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    done = yeoul("migrate", YEOUL_DATABASE_URL=urls.admin, YEOUL_ADMIN_DATABASE_URL=urls.admin)
    assert done.exit_code == 1
    assert "the roles are named yeoul_app and yeoul_service" in done.stderr


def test_the_embedded_database(yeoul: Yeoul, embedded_environment: dict[str, str]) -> None:
    unset = {"YEOUL_DATABASE_URL": None, "YEOUL_SERVICE_DATABASE_URL": None}
    variables = unset | {"YEOUL_DATA_DIR": embedded_environment["YEOUL_DATA_DIR"]}
    none_yet = yeoul("migrate", "--check", **variables)
    assert none_yet.exit_code == 1
    assert "There is no database in" in none_yet.stderr
    made = yeoul("migrate", **variables)
    assert made.exit_code == 0, made.stderr
    assert "Making the database in" in made.stderr
    assert f"Migrated the database from revision (none) to {HEAD}, " in made.stderr
    assert yeoul("migrate", "--check", **variables).exit_code == 0


def test_revisions_are_known_by_their_files() -> None:
    """``head`` reads file names, because Alembic takes a quarter of a second to say the same."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == HEAD
    for revision in script.walk_revisions():
        migrate.CORE.check_known(revision.revision)
