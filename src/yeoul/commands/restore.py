"""``yeoul restore``: a backup becomes the installation, whole or not at all; what was there is kept aside."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import typer
from psycopg import sql
from sqlalchemy.exc import SQLAlchemyError

from yeoul.commands import backup as backing_up
from yeoul.commands import database, progress
from yeoul.commands.session import quiet
from yeoul.commands.terminal import first_line, local_time, say
from yeoul.core.base.errors import Unavailable
from yeoul.core.db import archive, copying, embedded, migrate, moving, rebuild
from yeoul.core.runtime import age
from yeoul.core.runtime.services import DATABASE_NAME, DatabaseUrls
from yeoul.schema import METADATA
from yeoul.settings import Settings

STAGING = "restore.new"
ASIDE = "before-restore-"
OURS = ("postgres", "postgres.password", *backing_up.KEPT)
"""What in a data folder is exchanged. Weights of models stay where they are."""


def restore(settings: Settings, path: Path, *, replace: bool, yes: bool) -> None:
    """Restores a backup. Nothing is touched before the file has been found whole and of a version we know."""
    quiet(settings)
    with archive.reading(path) as backup:
        manifest = backup.manifest
        try:
            migrate.check_all_known(manifest.revisions, METADATA)
        except migrate.SchemaTooNew as error:
            raise archive.BackupUnusable(
                f"{path} was made by Yeoul {manifest.yeoul}, and cannot be restored here. {error.detail} "
                "Nothing was changed."
            ) from None
        with progress.shown("Checking the backup", manifest.size) as moved:
            backup.verify(moved)
        say(f"The backup is whole: {local_time(manifest.created_at)}, by Yeoul {manifest.yeoul}.")
        try:
            into = _into_folder if settings.embedded else _into_database
            into(settings, backup, replace=replace, yes=yes)
        except (OSError, psycopg.Error, SQLAlchemyError) as error:
            raise Unavailable(f"The restore failed, and changed nothing: {first_line(error)}.") from error
    say("Every session has ended: people sign in again. Jobs that had not ended run again when a worker starts.")
    if settings.secret_key is not None and backing_up.key_mark(settings) != manifest.key_mark:
        say(
            "YEOUL_SECRET_KEY is not the key of this backup: what was encrypted with that one cannot be read.", "yellow"
        )


def delete_old(settings: Settings) -> None:
    """Deletes what restores have put aside."""
    quiet(settings)
    gone = [folder for folder in sorted(settings.data_dir.glob(f"{ASIDE}*")) if folder.is_dir()]
    for folder in gone:
        shutil.rmtree(folder)
    names = [str(folder) for folder in gone]
    if not settings.embedded:
        urls = _with_admin(settings)
        with database.connect(database.admin_of(urls), "YEOUL_ADMIN_DATABASE_URL") as connection:
            aside = rebuild.put_aside(connection)
            for name in aside:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
            names += [f"schema {name}" for name in aside]
    say(f"Deleted: {', '.join(names)}." if names else "There is nothing of before a restore to delete.")


@contextmanager
def staging(data_dir: Path, name: str) -> Iterator[Path]:
    """A folder to prepare things in, empty, and gone at the end; raises ``Unavailable`` when another one is at it."""
    with (data_dir / "staging.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"Another restore or upgrade of {data_dir} is under way. Wait for it.") from None
        folder = data_dir / name
        embedded.discard(folder)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            embedded.discard(folder)


@contextmanager
def fresh_server(folder: Path) -> Iterator[rebuild.Target]:
    """A PostgreSQL of its own in a staging folder, with an empty database."""
    with database.doing("Making a database beside", rare=False):
        server = embedded.start(folder)
    try:
        migrate.ensure_database(server.url("postgres", "postgres"), DATABASE_NAME)
        yield rebuild.Target(
            server.url("postgres", DATABASE_NAME),
            server.url(migrate.APP, DATABASE_NAME),
            server.url(migrate.SERVICE, DATABASE_NAME),
        )
    finally:
        server.close()


def check_room(folder: Path, needed: int) -> None:
    """Raises ``Unavailable`` when so many bytes will certainly not fit."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Unavailable(f"{folder} has {free / 1e6:,.0f} MB free, and this takes {needed / 1e6:,.0f} MB at least.")


def _into_folder(settings: Settings, backup: archive.Reader, *, replace: bool, yes: bool) -> None:
    folder = settings.data_dir
    database.check_folder(folder)
    with embedded.alone(folder):
        there = _present(folder)
    if there and not replace:
        raise rebuild.DatabaseNotEmpty(
            f"{folder} holds an installation already ({', '.join(there)}). Restore into an empty folder with "
            "YEOUL_DATA_DIR, or use --replace, which keeps what is there aside."
        )
    moving.check(folder, there)
    check_room(folder, backup.manifest.size)
    aside = f"{ASIDE}{datetime.now(UTC):%Y%m%d-%H%M%S}"
    _confirm(bool(there), yes, f"Replace what is in {folder}? It is kept in {folder / aside}.")
    with staging(folder, STAGING) as prepared:
        with fresh_server(prepared) as target:
            _fill(target, backup)
        _unpack(backup, prepared)
        with embedded.alone(folder):
            if _present(folder) != there:
                raise Unavailable(f"Somebody has used {folder} meanwhile. Nothing was changed; try again.")
            moving.move(
                folder,
                [
                    *((name, f"{aside}/{name}") for name in there),
                    *((f"{STAGING}/{name}", name) for name in _present(prepared)),
                ],
            )
    say(f"Restored into {folder}.", "bold green")
    if there:
        say(f"What was there is in {folder / aside}; `yeoul restore --delete-old` deletes it once all is well.")


def _into_database(settings: Settings, backup: archive.Reader, *, replace: bool, yes: bool) -> None:
    urls, folder = _with_admin(settings), settings.data_dir
    database.check_folder(folder)
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    database.ensure_database(urls)
    with database.connect(database.admin_of(urls), "YEOUL_ADMIN_DATABASE_URL") as connection:
        _nobody_is_connected(connection)
    with staging(folder, STAGING) as prepared:
        _unpack(backup, prepared)
        new = [name for name in _present(prepared) if not _same(prepared / name, folder / name)]
        if settings.secret_key is not None and "secret.key" in new:
            new.remove("secret.key")
        there = [name for name in new if (folder / name).exists()]
        if there and not replace:
            raise rebuild.DatabaseNotEmpty(f"{folder} holds another {', '.join(there)}. --replace keeps that aside.")
        moving.check(folder, there)
        _confirm(replace, yes, "Replace what is in the database? It is kept in a schema of its own.")
        aside = f"{rebuild.ASIDE}{stamp}" if replace else None
        _fill(rebuild.Target(database.admin_of(urls), urls.app, urls.service, aside), backup)
        moves = [(name, f"{ASIDE}{stamp}/{name}") for name in there] + [(f"{STAGING}/{name}", name) for name in new]
        moving.move(folder, moves)
    say("Restored into the database.", "bold green")
    if replace:
        say(f"What was there is in the schema {aside}; `yeoul restore --delete-old` deletes it once all is well.")


def _fill(target: rebuild.Target, backup: archive.Reader) -> None:
    manifest = backup.manifest

    def fill(connection: copying.Sync) -> None:
        tables = [copying.Table(rows.name, rows.columns) for rows in manifest.tables]
        copying.empty_tables(connection, tables, manifest.partitions)
        with progress.shown("Restoring", manifest.size) as moved:
            for rows, table in zip(manifest.tables, tables, strict=True):
                came = copying.rows_in(connection, table, backup.blocks(rows.member, moved))
                if came != rows.rows:
                    raise copying.RowsDoNotFit(f"{rows.name} has {came} rows, and should have {rows.rows}.")
        copying.settle(connection)

    def then(connection: copying.Sync) -> None:
        age.begin(connection, manifest.created_at)

    rebuild.rebuild(target, METADATA, manifest.revisions, fill, then)


def _unpack(backup: archive.Reader, folder: Path) -> None:
    """Writes the members that are files, readable by nobody else."""
    for name in backup.manifest.members:
        if not name.startswith("data/"):
            continue
        path = folder / name.removeprefix("data/")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            for block in backup.blocks(name, _nobody):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())


def _present(folder: Path) -> list[str]:
    return [name for name in OURS if (folder / name).exists()]


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def _nobody_is_connected(connection: copying.Sync) -> None:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = ANY (%s)",
        [[migrate.APP, migrate.SERVICE]],
    ).fetchone()
    if row is not None and row[0]:
        raise embedded.DatabaseInUse(
            f"{row[0]} connections of Yeoul are open to this database. "
            "Stop every `yeoul serve`, `api` and `worker` first."
        )


def _with_admin(settings: Settings) -> DatabaseUrls:
    urls = database.addresses(settings)
    if urls.admin is None:
        raise Unavailable(
            "Restoring takes an administrator of the database: set YEOUL_ADMIN_DATABASE_URL for this command, as for "
            "`yeoul migrate`."
        )
    return urls


def _confirm(asked: bool, yes: bool, question: str) -> None:
    if asked and not yes:
        with suppress(typer.Abort):
            if typer.confirm(question, err=True):
                return
        raise Unavailable("Nothing was changed. --yes answers the question beforehand.")


_nobody: Callable[[int], None] = lambda _: None  # noqa: E731
