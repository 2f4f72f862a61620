"""``yeoul upgrade-database``: the embedded database of an older PostgreSQL, copied into one of this version's."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from yeoul.commands import database, progress
from yeoul.commands.restore import check_room, fresh_server, staging
from yeoul.commands.session import quiet
from yeoul.commands.terminal import first_line, say
from yeoul.core.base.errors import Unavailable
from yeoul.core.db import copying, embedded, major, migrate, moving, rebuild
from yeoul.schema import METADATA
from yeoul.settings import Settings

STAGING = "upgrade.new"


class CannotUpgrade(Unavailable):
    """The embedded database cannot be brought to this PostgreSQL's version as it is."""

    code = "cannot_upgrade"


def upgrade(settings: Settings, from_bin: Path | None) -> None:
    """Upgrades, and keeps the old database beside."""
    quiet(settings)
    folder = _folder(settings)
    database.check_folder(folder)
    # Who starts meanwhile waits, and then finds the new one.
    with embedded.alone(folder):
        made = major.version(folder)
        if made is None:
            raise CannotUpgrade(f"There is no database in {folder}. YEOUL_DATA_DIR names another folder.")
        if made == embedded.MAJOR:
            say(f"The database in {folder} is PostgreSQL {made} already: nothing to do.")
            return
        if made > embedded.MAJOR:
            raise CannotUpgrade(
                f"The database was made by PostgreSQL {made}, and this Yeoul brings {embedded.MAJOR}. "
                "Install the newer Yeoul that made it."
            )
        moving.check(folder, ["postgres"])
        bin_path = major.binaries(made, from_bin)
        say(f"Upgrading the database in {folder} from PostgreSQL {made} to {embedded.MAJOR}, with {bin_path}.")
        try:
            kept = _upgrade(folder, bin_path, made)
        except (OSError, subprocess.SubprocessError, psycopg.Error, SQLAlchemyError) as error:
            raise CannotUpgrade(f"The upgrade failed, and changed nothing: {first_line(error)}.") from error
    say(f"The database is PostgreSQL {embedded.MAJOR} now, every row counted.", "bold green")
    say(f"The old one is kept in {folder / kept}; `yeoul upgrade-database --delete-old` deletes it once all is well.")


def delete_old(settings: Settings) -> None:
    """Deletes the databases that upgrades have kept."""
    folder = _folder(settings)
    if major.version(folder) != embedded.MAJOR:
        raise CannotUpgrade(f"{folder} has no database of PostgreSQL {embedded.MAJOR}, so nothing old is deleted.")
    gone = sorted(folder.glob("postgres-*.old*"))
    for old in gone:
        shutil.rmtree(old)
    names = ", ".join(old.name for old in gone)
    say(f"Deleted: {names}." if gone else "There is no old database to delete.")


def _folder(settings: Settings) -> Path:
    if not settings.embedded:
        raise CannotUpgrade(
            "YEOUL_DATABASE_URL names a PostgreSQL of yours: upgrade that with its own tools. This command is for the "
            "embedded one."
        )
    return settings.data_dir


def _upgrade(folder: Path, bin_path: Path, made: int) -> str:
    """Copies, compares, exchanges; the name under which the old one is kept."""
    with staging(folder, STAGING) as prepared:
        password = (folder / "postgres.password").read_bytes()
        with os.fdopen(
            os.open(prepared / "postgres.password", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
        ) as file:
            file.write(password)
        with major.started(folder, bin_path) as url, _reading(url) as old, fresh_server(prepared) as target:
            if strange := major.strange(old):
                raise CannotUpgrade(
                    f"The database holds what Yeoul did not make: {', '.join(strange[:5])}. It would be left behind: "
                    "take it out with pg_dump and drop it, then upgrade."
                )
            revisions = database.revisions(old)
            migrate.check_all_known(revisions, METADATA)
            if not revisions:
                raise CannotUpgrade("The old database is empty. Move its folder away; the next start makes a new one.")
            check_room(folder, copying.size(old))
            _copy(old, target, revisions)
        kept = next(name for name in _names(made) if not (folder / name).exists())
        moving.move(folder, [("postgres", kept), (f"{STAGING}/postgres", "postgres")])
    return kept


def _copy(old: copying.Sync, target: rebuild.Target, revisions: dict[str, str]) -> None:
    tables, partitions = copying.tables(old), copying.days(old)

    def fill(new: copying.Sync) -> None:
        copying.hold_snapshot(old)
        copying.empty_tables(new, tables, partitions)
        with progress.shown("Copying", copying.size(old)) as moved:
            for table in tables:
                with closing(copying.rows_out(old, table)) as rows:
                    copying.rows_in(new, table, _told(rows, moved))
        copying.settle(new)
        for table in tables:
            before, after = copying.count(old, table), copying.count(new, table)
            if before != after:
                raise CannotUpgrade(f"{table.name} has {before} rows, and its copy {after}. Nothing was changed.")

    rebuild.rebuild(target, METADATA, revisions, fill, lambda _: None)


def _told(blocks: Iterator[bytes], moved: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        moved(len(block))
        yield block


def _reading(url: str) -> copying.Sync:
    return psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=on")


def _names(made: int) -> Iterator[str]:
    yield f"postgres-{made}.old"
    yield from (f"postgres-{made}.old{n}" for n in range(2, 1000))
