"""What can be wrong with the database is said in one line, before anything else is done."""

import socket
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.commands.conftest import Yeoul, change
from yeoul.core.db import migrate
from yeoul.core.runtime.services import DatabaseUrls

EVERY = (("serve",), ("api",), ("worker",), ("run", "hello"), ("jobs", "list"), ("users", "list"))


def with_(url: str, **parts: object) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]


def one_line(yeoul: Yeoul, *words: str, **variables: str | None) -> str:
    """What a command that cannot work says, which is one line."""
    port = ("--port", "0") if words[0] in {"serve", "api"} else ()
    done = yeoul(*words, *port, **variables)
    assert done.exit_code == 1
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Starting; ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("words", EVERY)
def test_nobody_answers(yeoul: Yeoul, words: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://yeoul_app:secret-1@127.0.0.1:{taken.getsockname()[1]}/yeoul"
        said = one_line(yeoul, *words, YEOUL_DATABASE_URL=url)
    assert "Cannot open the database of YEOUL_DATABASE_URL (yeoul_app at 127.0.0.1:" in said
    assert "Connection refused" in said
    assert "secret-1" not in said


def test_a_wrong_password(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    said = one_line(yeoul, "users", "list", YEOUL_SERVICE_DATABASE_URL=with_(urls.service, password="secret-2"))
    assert "YEOUL_SERVICE_DATABASE_URL" in said
    assert "password authentication failed" in said
    assert "secret-2" not in said


def test_another_login(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    said = one_line(yeoul, "serve", YEOUL_DATABASE_URL=urls.admin)
    assert "signs in as postgres, and must as yeoul_app" in said


def test_one_address_of_two(yeoul: Yeoul) -> None:
    assert "YEOUL_SERVICE_DATABASE_URL is needed too" in one_line(yeoul, "serve", YEOUL_SERVICE_DATABASE_URL=None)


@pytest.mark.parametrize("address", ["db.example.com/yeoul", "mysql://yeoul_app:secret-3@db/yeoul"])
def test_what_is_no_address(yeoul: Yeoul, address: str) -> None:
    said = one_line(yeoul, "serve", YEOUL_DATABASE_URL=address)
    assert "YEOUL_DATABASE_URL is no PostgreSQL address" in said
    assert "secret-3" not in said


def test_an_empty_database_asks_for_migrate(yeoul: Yeoul, empty: DatabaseUrls) -> None:
    said = one_line(yeoul, "serve", YEOUL_DATABASE_URL=empty.app, YEOUL_SERVICE_DATABASE_URL=empty.service)
    assert "The database is empty" in said
    assert "Run `yeoul migrate` with YEOUL_ADMIN_DATABASE_URL" in said


def test_an_empty_database_is_migrated_where_an_administrator_is_given(yeoul: Yeoul, empty: DatabaseUrls) -> None:
    done = yeoul(
        *("users", "list"),
        YEOUL_DATABASE_URL=empty.app,
        YEOUL_SERVICE_DATABASE_URL=empty.service,
        YEOUL_ADMIN_DATABASE_URL=empty.admin,
    )
    assert done.exit_code == 0
    assert "Making the tables" in done.stderr


def test_a_database_of_a_newer_version(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    change(urls, "UPDATE yeoul.alembic_version SET version_num = '9999'")
    said = one_line(yeoul, "serve")
    assert f"The database is at revision 9999, and this Yeoul knows {migrate.head()} and older" in said


@pytest.mark.parametrize("words", EVERY)
def test_a_product_that_is_not_migrated_asks_for_migrate(
    yeoul: Yeoul, urls: DatabaseUrls, words: tuple[str, ...]
) -> None:
    change(urls, "DELETE FROM yeoul.alembic_version_playground")
    said = one_line(yeoul, *words)
    assert "The database is at revision (none) of playground and must be at " in said
    assert "Run `yeoul migrate` with YEOUL_ADMIN_DATABASE_URL." in said


def test_an_older_database_asks_for_migrate(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    change(urls, "DELETE FROM yeoul.alembic_version")
    assert "yeoul migrate" in one_line(yeoul, "serve")


@pytest.mark.parametrize("words", EVERY)
def test_a_folder_that_cannot_be_written(yeoul: Yeoul, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    said = one_line(yeoul, *words, YEOUL_DATABASE_URL=None, YEOUL_DATA_DIR=str(tmp_path / "file" / "data"))
    assert f"Cannot write to the data folder {tmp_path}/file/data: Not a directory" in said
    assert "YEOUL_DATA_DIR" in said


def test_a_folder_of_another_postgresql(yeoul: Yeoul, tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "PG_VERSION").write_text("17\n")
    said = one_line(yeoul, "serve", YEOUL_DATABASE_URL=None, YEOUL_DATA_DIR=str(tmp_path / "data"))
    assert "was made by PostgreSQL 17" in said
    assert "YEOUL_DATA_DIR" in said
