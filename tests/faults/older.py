"""Turns an installation into one that an older PostgreSQL made: what an upgrade of Yeoul finds on the disk."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg

from yeoul.core.db import copying, embedded, major, migrate, rebuild
from yeoul.core.runtime.services import DATABASE_NAME
from yeoul.schema import METADATA


def downgrade(data_dir: Path, bin_path: Path) -> None:
    """Exchanges the database, which is not running, for one of these binaries' version with the same rows."""
    older = data_dir / "older"
    older.mkdir()
    shutil.copy2(data_dir / "postgres.password", older)
    _init(older / "postgres", bin_path, (data_dir / "postgres.password").read_text())
    server = embedded.start(data_dir)
    try:
        with (
            psycopg.connect(server.url("postgres", DATABASE_NAME), autocommit=True) as new,
            major.started(older, bin_path) as url,
        ):
            migrate.ensure_database(url.replace("/yeoul?", "/postgres?"), DATABASE_NAME)
            _copy(new, url)
    finally:
        server.close()
    shutil.rmtree(data_dir / "postgres")
    (older / "postgres").rename(data_dir / "postgres")
    shutil.rmtree(older)


def _init(folder: Path, bin_path: Path, password: str) -> None:
    user = embedded.system_user()
    folder.mkdir(mode=0o700)
    if user is not None:
        folder.parent.chmod(0o755)
        shutil.chown(folder, user)

    def run(*command: str | Path, said: str | None = None) -> None:
        subprocess.run(command, user=user, cwd="/", input=said, text=True, capture_output=True, check=True)

    run(bin_path / "initdb", "--encoding=utf8", "-U", "postgres", "-D", folder)
    set_password = f"ALTER ROLE postgres PASSWORD '{password}';\n"
    run(bin_path / "postgres", "--single", "-D", folder, "postgres", said=set_password)
    (folder / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    (folder / "yeoul.ready").touch()


def _copy(new: copying.Sync, url: str) -> None:
    tables, days = copying.tables(new), copying.days(new)

    def fill(old: copying.Sync) -> None:
        copying.empty_tables(old, tables, days)
        for table in tables:
            copying.rows_in(old, table, copying.rows_out(new, table))
        copying.settle(old)

    app, service = (url.replace("postgres:", f"{name}:", 1) for name in (migrate.APP, migrate.SERVICE))
    rebuild.rebuild(rebuild.Target(url, app, service), METADATA, migrate.revisions(new), fill, lambda _: None)


def installed() -> list[Path]:
    """Older versions on this machine: the one that comes with the embedded server, and the system's."""
    found = [*embedded.shipped(16)]
    for n in range(13, embedded.MAJOR):
        place = Path(f"/usr/lib/postgresql/{n}/bin")
        if os.access(place / "postgres", os.X_OK):
            found.append(place)
    return found
