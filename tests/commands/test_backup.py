"""``yeoul backup`` and ``restore`` on a PostgreSQL of one's own, and files that are no whole backup."""

import json
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest
from typer.testing import Result

from tests.commands.conftest import Yeoul, change, one
from yeoul.core.base.ids import new_id
from yeoul.core.db import copying
from yeoul.core.db.database import driver_url
from yeoul.core.runtime.services import DatabaseUrls

CHANGED = {"sessions", "workers", "events", "streams"}
"""What a restore changes on purpose."""
KEY = "a secret key that is a setting, long enough"


@pytest.fixture
def seeded(yeoul: Yeoul, urls: DatabaseUrls) -> DatabaseUrls:
    """An installation with accounts and jobs that have run."""
    assert yeoul("users", "add", "mina@example.com", "--stdin", input="correct horse battery\n").exit_code == 0
    assert yeoul("run", "tab\there, back\\slash, 한글, '\"").exit_code == 0
    assert yeoul("run", "again").exit_code == 0
    return urls


@pytest.fixture
def made(yeoul: Yeoul, seeded: DatabaseUrls, tmp_path: Path) -> Path:
    """A backup of it."""
    done = yeoul("backup", str(tmp_path / "kept.zip"))
    assert done.exit_code == 0, done.output
    return tmp_path / "kept.zip"


def counts(urls: DatabaseUrls) -> dict[str, int]:
    """The rows of every table that a restore leaves alone."""
    assert urls.admin is not None
    with psycopg.connect(driver_url(urls.admin), autocommit=True) as connection:
        found = copying.tables(connection)
        return {table.name: copying.count(connection, table) for table in found if table.name not in CHANGED}


def restored(
    yeoul: Yeoul,
    file: Path,
    into: DatabaseUrls,
    *options: str,
    input: str | None = None,  # noqa: A002  (CliRunner's)
    **variables: str | None,
) -> Result:
    addresses = {
        "YEOUL_DATABASE_URL": into.app,
        "YEOUL_SERVICE_DATABASE_URL": into.service,
        "YEOUL_ADMIN_DATABASE_URL": into.admin,
    }
    return yeoul("restore", str(file), *options, input=input, **(addresses | variables))


def test_what_is_in_the_file(yeoul: Yeoul, seeded: DatabaseUrls, made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    with zipfile.ZipFile(made) as file:
        manifest = json.loads(file.read("manifest.json"))
        rows = {table["name"]: table["rows"] for table in manifest["tables"]}
        assert b"mina@example.com" in file.read("database/users.copy")
    assert {key: manifest[key] for key in ("format", "postgresql", "revisions")} == {
        "format": 1,
        "postgresql": 18,
        "revisions": {
            "core": one(seeded, "SELECT version_num FROM yeoul.alembic_version"),
            "playground": one(seeded, "SELECT version_num FROM yeoul.alembic_version_playground"),
        },
    }
    assert rows["users"] == one(seeded, "SELECT count(*) FROM yeoul.users")
    assert rows["events"] == one(seeded, "SELECT count(*) FROM yeoul.events") != 0, "row level security hid nothing"
    assert list(made.parent.glob(".*partial")) == []


def test_a_folder_and_a_name_of_its_own(yeoul: Yeoul, seeded: DatabaseUrls, tmp_path: Path) -> None:
    done = yeoul("backup", str(tmp_path))
    assert Path(done.stdout.strip()).parent == tmp_path
    assert "It holds secrets" in done.stderr
    assert zipfile.is_zipfile(done.stdout.strip())


def test_a_file_is_never_replaced(yeoul: Yeoul, made: Path) -> None:
    before = made.read_bytes()
    done = yeoul("backup", str(made))
    assert done.exit_code == 1
    assert "never replaces a file" in done.stderr
    assert made.read_bytes() == before


def test_nowhere_to_write(yeoul: Yeoul, seeded: DatabaseUrls, tmp_path: Path) -> None:
    done = yeoul("backup", str(tmp_path / "missing" / "file.zip"))
    assert done.exit_code == 1
    assert f"There is no folder {tmp_path}/missing" in done.stderr


def test_into_an_empty_database(yeoul: Yeoul, seeded: DatabaseUrls, made: Path, empty: DatabaseUrls) -> None:
    done = restored(yeoul, made, empty)
    assert done.exit_code == 0, done.output
    assert "Every session has ended" in done.stderr
    assert counts(empty) == counts(seeded)
    for table in ("users", "jobs"):
        rows = f"SELECT json_agg(t ORDER BY id)::text FROM yeoul.{table} t"  # noqa: S608
        assert one(empty, rows) == one(seeded, rows)
    # Terminal jobs' streams are the same to the byte, in the same partitions.
    events = """SELECT string_agg(concat_ws(' ', e.tableoid::regclass, e.stream_id, seq, e.type, e.data), E'\\n'
        ORDER BY e.stream_id, seq) FROM yeoul.events e JOIN yeoul.jobs j ON j.id = e.stream_id"""
    assert one(empty, events) == one(seeded, events)
    assert one(empty, "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE oid = 'yeoul.jobs'::regclass") is True
    # And it works: triggers, sequences, row level security.
    addresses = {"YEOUL_DATABASE_URL": empty.app, "YEOUL_SERVICE_DATABASE_URL": empty.service}
    assert yeoul("run", "hello there", **addresses).stdout == "hello there\n"
    assert "protected" not in yeoul("doctor", **addresses).stdout


def test_a_database_with_accounts_is_kept_aside(
    yeoul: Yeoul, made: Path, seeded: DatabaseUrls, empty: DatabaseUrls
) -> None:
    assert restored(yeoul, made, empty).exit_code == 0
    change(empty, "UPDATE yeoul.users SET email = 'since@example.com' WHERE email = 'mina@example.com'")
    emails = "SELECT string_agg(email, ' ' ORDER BY email) FROM yeoul.users"
    before = one(empty, emails)
    done = restored(yeoul, made, empty)
    assert done.exit_code == 1
    assert "--replace" in done.stderr
    done = restored(yeoul, made, empty, "--replace", input="n\n")
    assert done.exit_code == 1
    assert "Nothing was changed" in done.stderr
    assert one(empty, emails) == before
    done = restored(yeoul, made, empty, "--replace", "--yes")
    assert done.exit_code == 0, done.output
    assert one(empty, emails) == one(seeded, emails)
    aside = one(empty, "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'yeoul_before_')")
    assert str(aside) in done.stderr
    assert one(empty, f"SELECT string_agg(email, ' ' ORDER BY email) FROM {aside}.users") == before  # noqa: S608
    addresses = {
        "YEOUL_DATABASE_URL": empty.app,
        "YEOUL_SERVICE_DATABASE_URL": empty.service,
        "YEOUL_ADMIN_DATABASE_URL": empty.admin,
    }
    assert f"schema {aside}" in yeoul("restore", "--delete-old", **addresses).stderr
    assert one(empty, "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'yeoul_before_')") == 0


def test_not_while_somebody_is_connected(yeoul: Yeoul, made: Path, empty: DatabaseUrls) -> None:
    assert restored(yeoul, made, empty).exit_code == 0
    with psycopg.connect(driver_url(empty.service)):
        done = restored(yeoul, made, empty, "--replace", "--yes")
    assert done.exit_code == 1
    assert "1 connections of Yeoul are open" in done.stderr


def test_restoring_takes_an_administrator(yeoul: Yeoul, made: Path, empty: DatabaseUrls) -> None:
    done = restored(yeoul, made, empty, YEOUL_ADMIN_DATABASE_URL=None)
    assert done.exit_code == 1
    assert "YEOUL_ADMIN_DATABASE_URL" in done.stderr


def test_an_empty_database_is_not_backed_up(yeoul: Yeoul, empty: DatabaseUrls, tmp_path: Path) -> None:
    addresses = {"YEOUL_DATABASE_URL": empty.app, "YEOUL_SERVICE_DATABASE_URL": empty.service}
    done = yeoul("backup", str(tmp_path / "none.zip"), **addresses)
    assert done.exit_code == 1
    assert "The database is empty" in done.stderr
    assert not (tmp_path / "none.zip").exists()


def test_another_secret_key_is_told(yeoul: Yeoul, seeded: DatabaseUrls, empty: DatabaseUrls, tmp_path: Path) -> None:
    file = tmp_path / "keyed.zip"
    done = yeoul("backup", str(file), YEOUL_SECRET_KEY=KEY)
    assert "YEOUL_SECRET_KEY is a setting and is not in it" in done.stderr
    assert KEY.encode() not in file.read_bytes()
    done = restored(yeoul, file, empty, YEOUL_SECRET_KEY=f"another {KEY}")
    assert done.exit_code == 0
    assert "is not the key of this backup" in done.stderr
    done = restored(yeoul, file, empty, "--replace", "--yes", YEOUL_SECRET_KEY=KEY)
    assert "is not the key of this backup" not in done.stderr


def test_a_key_of_the_folder_travels(yeoul: Yeoul, seeded: DatabaseUrls, empty: DatabaseUrls, tmp_path: Path) -> None:
    key = tmp_path / "data" / "secret.key"
    key.parent.mkdir()
    key.write_text("the key that everything was signed with")
    (tmp_path / "data" / "files" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "files" / "deep" / "picture").write_bytes(b"\0\1\2")
    assert yeoul("backup", str(tmp_path / "kept.zip")).exit_code == 0
    other = tmp_path / "other"
    done = restored(yeoul, tmp_path / "kept.zip", empty, YEOUL_DATA_DIR=str(other))
    assert done.exit_code == 0, done.output
    assert (other / "secret.key").read_text() == key.read_text()
    assert stat.S_IMODE((other / "secret.key").stat().st_mode) == 0o600
    assert (other / "files" / "deep" / "picture").read_bytes() == b"\0\1\2"


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_at_the_end(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def flip_a_byte(file: Path) -> None:
    with zipfile.ZipFile(file) as opened:
        member = opened.getinfo("database/events.copy")
    data = bytearray(file.read_bytes())
    data[member.header_offset + 200] ^= 0x55
    file.write_bytes(data)


def empty_it(file: Path) -> None:
    file.write_bytes(b"")


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(file) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)


def change_a_row(file: Path) -> None:
    """The zip is in order, and the rows are not those of the manifest."""

    def edit(members: dict[str, bytes]) -> None:
        members["database/users.copy"] = members["database/users.copy"].replace(b"mina", b"nima")

    rewritten(file, edit)


def leave_a_table_out(file: Path) -> None:
    def edit(members: dict[str, bytes]) -> None:
        del members["database/jobs.copy"]

    rewritten(file, edit)


def add_a_stranger(file: Path) -> None:
    rewritten(file, lambda members: members.update({"data/../../stranger": b"x"}))


def manifest_with(**values: object) -> Callable[[Path], None]:
    def edit(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | values).encode()

    return lambda file: rewritten(file, edit)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_in_half, "no whole backup"),
        (cut_at_the_end, "no whole backup"),
        (flip_a_byte, "no whole backup"),
        (empty_it, "no whole backup"),
        (change_a_row, "users.copy is not what the manifest says"),
        (leave_a_table_out, "its members are not those of its manifest"),
        (add_a_stranger, "its members are not those of its manifest"),
        (manifest_with(format=99, yeoul="9.0"), "of format 99, made by Yeoul 9.0; this version reads format 1"),
        (manifest_with(revisions={"core": "9999"}, yeoul="9.0"), "at revision 9999, and this Yeoul knows"),
        (manifest_with(tables=3), "its manifest is not one of ours"),
    ],
)
def test_what_is_no_whole_backup_touches_nothing(
    yeoul: Yeoul, made: Path, empty: DatabaseUrls, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(made)
    folder = tmp_path / "untouched"
    done = restored(yeoul, made, empty, "--replace", "--yes", YEOUL_DATA_DIR=str(folder))
    assert done.exit_code == 1
    assert words in done.stderr
    assert not folder.exists()
    assert one(empty, "SELECT to_regnamespace('yeoul') IS NULL") is True


def test_no_such_file(yeoul: Yeoul, tmp_path: Path) -> None:
    done = yeoul("restore", str(tmp_path / "none.zip"))
    assert done.exit_code == 1
    assert "Cannot read" in done.stderr


def test_a_file_or_delete_old(yeoul: Yeoul) -> None:
    assert yeoul("restore").exit_code == 2
    assert yeoul("restore", "x.zip", "--delete-old").exit_code == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_no_half_file(yeoul: Yeoul, urls: DatabaseUrls, small_disk: Path) -> None:
    change(
        urls,
        f"""INSERT INTO yeoul.users (id, email, name) SELECT uuidv7(), md5(n::text) || '@x.test', md5('{new_id()}' || n)
        FROM generate_series(1, 5000) n""",  # noqa: S608
    )
    done = yeoul("backup", str(small_disk / "kept.zip"))
    assert done.exit_code == 1
    assert "No space left on device. Nothing is left of it" in done.stderr
    assert list(small_disk.iterdir()) == []
