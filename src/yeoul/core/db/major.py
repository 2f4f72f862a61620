"""The embedded database at another major version of PostgreSQL: its binaries found, and it started to be read."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from yeoul.core.base.errors import Unavailable
from yeoul.core.db import embedded
from yeoul.core.db.copying import Sync

_START_SECONDS = 120
_PLACES = (
    "/usr/lib/postgresql/{}/bin",  # Debian, Ubuntu
    "/usr/pgsql-{}/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
    "/Applications/Postgres.app/Contents/Versions/{}/bin",
)

_STRANGE = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'yeoul')
    AND n.nspname !~ '^pg_(toast|temp)' AND NOT starts_with(n.nspname, 'yeoul_before_')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'database ' || datname FROM pg_database
WHERE NOT datistemplate AND datname NOT IN ('postgres', current_database())
ORDER BY 1
"""


class OldServerUnusable(Unavailable):
    """The binaries of the old major version are not there, or do not start the old database."""

    code = "old_server_unusable"


def version(data_dir: Path) -> int | None:
    """The major version that made a data folder's database; null when there is none."""
    try:
        return int((data_dir / "postgres" / "PG_VERSION").read_text().strip())
    except (FileNotFoundError, NotADirectoryError):
        return None


def binaries(major: int, given: Path | None) -> Path:
    """The folder of a major version's binaries: the one given, or where systems put them.

    Raises ``OldServerUnusable``.
    """
    if given is not None:
        if (found := _version_of(given)) != major:
            what = f"PostgreSQL {found}" if found else "no PostgreSQL"
            raise OldServerUnusable(f"{given} holds {what}; the database was made by PostgreSQL {major}.")
        return given
    places = [*embedded.shipped(major), *(Path(place.format(major)) for place in _PLACES)]
    if (on_path := shutil.which("postgres")) is not None:
        places.append(Path(on_path).resolve().parent)
    for place in places:
        if _version_of(place) == major:
            return place
    raise OldServerUnusable(
        f"The database was made by PostgreSQL {major}, and reading it takes that version's binaries, which are not on "
        f"this machine. Install them (Debian: apt install postgresql-{major}) or name their folder with --from-bin DIR."
    )


@contextmanager
def started(data_dir: Path, bin_path: Path) -> Iterator[str]:
    """Runs the old server on its folder until the end; its address, as the administrator.

    The caller is ``embedded.alone`` there. Raises ``OldServerUnusable``.
    """
    folder, user = data_dir / "postgres", embedded.system_user()
    with tempfile.TemporaryDirectory(prefix="yeoul-") as sockets:
        if user is not None:
            shutil.chown(sockets, user)
        command = (bin_path / "pg_ctl", "-w", "-D", folder)
        options = f"-h '' -k {sockets} -p 5432"
        start = (*command, "-t", str(_START_SECONDS), "-l", folder / "log", "-o", options, "start")
        with tempfile.TemporaryFile() as said:  # a pipe would be held open by the server
            done = subprocess.run(start, user=user, cwd=folder, stdout=said, stderr=said, check=False)  # noqa: S603
            said.seek(0)
            if done.returncode:
                log = folder / "log"
                tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
                words = "\n".join(tail or [said.read().decode(errors="replace").strip()])
                raise OldServerUnusable(
                    f"The PostgreSQL of {bin_path} does not start {folder}:\n{words}\nNothing was changed."
                )
        try:
            password = quote((data_dir / "postgres.password").read_text().strip())
            yield f"postgresql://postgres:{password}@/yeoul?host={quote(sockets)}&port=5432"
        finally:
            stop = (*command, "-m", "fast", "stop")
            subprocess.run(stop, user=user, cwd=folder, capture_output=True, check=False)  # noqa: S603


def strange(connection: Sync) -> list[str]:
    """What lies in the database beside our schema, which nobody would carry over."""
    return [name for (name,) in connection.execute(_STRANGE).fetchall()]


def _version_of(folder: Path) -> int | None:
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        return int(said.split()[2].partition(".")[0])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None
