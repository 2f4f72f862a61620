"""``yeoul backup``: one file with everything that cannot be made again, while everything runs."""

import hmac
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from yeoul import __version__
from yeoul.commands import database, progress
from yeoul.commands.session import quiet
from yeoul.commands.terminal import say
from yeoul.core.base.errors import Unavailable
from yeoul.core.db import archive, copying, migrate
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.schema import METADATA
from yeoul.settings import Settings

KEPT = ("secret.key", "files")
"""What the data folder keeps beside the database that cannot be made again. Weights can; passwords of logins too."""

_SPARE_DAYS = 3
_MEGABYTE = 1_000_000


def backup(settings: Settings, where: Path | None) -> None:
    """Writes a backup, and prints its path."""
    quiet(settings)
    target = _target(where)
    with _opened(settings) as urls, database.connect(urls.service, "YEOUL_SERVICE_DATABASE_URL") as connection:
        found = database.revisions(connection)
        migrate.check_all_known(found, METADATA)
        if not found:
            raise Unavailable("The database is empty: there is nothing to back up.")
        # A new day's partition takes a lock that waits for our snapshot, and every write would wait behind it.
        connection.execute("SELECT yeoul.ensure_event_partitions(%s)", [_SPARE_DAYS])
        try:
            with archive.writing(target) as writer:
                manifest = _write(writer, connection, settings, found)
        except OSError as error:
            raise Unavailable(
                f"The backup could not be written to {target.parent}: {error.strerror or error}. Nothing is left of "
                "it. Make room, or name a file elsewhere."
            ) from None
    rows = sum(table.rows for table in manifest.tables)
    say(f"Backed up {rows:,} rows at schema revision {found['core']}: {target.stat().st_size / _MEGABYTE:,.1f} MB.")
    say("It holds secrets: the signing key, password hashes, all that was asked. Only you can read it (mode 600).")
    if settings.secret_key is not None:
        say("YEOUL_SECRET_KEY is a setting and is not in it: keep that yourself.")
    sys.stdout.write(f"{target}\n")


def key_mark(settings: Settings) -> str | None:
    """What tells the signing key from others without telling it; null when there is none yet."""
    path = settings.data_dir / "secret.key"
    if settings.secret_key is None and not path.exists():
        return None
    return hmac.digest(settings.signing_key.encode(), b"yeoul backup", "sha256").hex()[:16]


def _target(where: Path | None) -> Path:
    name = f"yeoul-backup-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    target = (where or Path()).expanduser().absolute()
    target = target / name if target.is_dir() else target
    if not target.parent.is_dir():
        raise Unavailable(f"There is no folder {target.parent}. Make it, or name a file elsewhere.")
    if target.exists():
        raise archive.BackupExists(f"{target} exists, and a backup never replaces a file. Choose another name.")
    return target


@contextmanager
def _opened(settings: Settings) -> Iterator[DatabaseUrls]:
    """The database as it is: a backup migrates nothing."""
    if not settings.embedded:
        yield database.addresses(settings)
        return
    if not database.made(settings.data_dir):
        raise Unavailable(f"There is no database in {settings.data_dir} yet. YEOUL_DATA_DIR names another folder.")
    with database.started(settings.data_dir) as urls:
        yield urls


def _write(
    writer: archive.Writer, connection: copying.Sync, settings: Settings, revisions: dict[str, str]
) -> archive.Manifest:
    copying.hold_snapshot(connection)
    (created_at,) = connection.execute("SELECT now()").fetchone() or (datetime.now(UTC),)
    kept = {f"data/{path.relative_to(settings.data_dir).as_posix()}": path for path in _kept(settings.data_dir)}
    total = copying.size(connection) + sum(path.stat().st_size for path in kept.values() if path.exists())
    tables, partitions = [], copying.days(connection)
    with progress.shown("Backing up", total) as moved:
        for table in copying.tables(connection):
            entry = archive.Rows(name=table.name, columns=table.columns, rows=copying.count(connection, table))
            with closing(copying.rows_out(connection, table)) as rows:
                writer.add(entry.member, rows, moved)
            tables.append(entry)
        # After the database: a file that a row of the snapshot names is there already.
        for name, path in kept.items():
            writer.add(name, archive.file_blocks(path), moved)
        manifest = archive.Manifest(
            format=archive.FORMAT,
            yeoul=__version__,
            postgresql=connection.info.server_version // 10_000,
            revisions=revisions,
            created_at=created_at,
            key_mark=key_mark(settings),
            tables=tables,
            partitions=partitions,
            members=writer.members,
        )
        writer.end(manifest)
    connection.execute("COMMIT")
    return manifest


def _kept(data_dir: Path) -> Iterator[Path]:
    for name in KEPT:
        path = data_dir / name
        yield from (
            sorted(entry for entry in path.rglob("*") if entry.is_file())
            if path.is_dir()
            else ([path] if path.is_file() else [])
        )
