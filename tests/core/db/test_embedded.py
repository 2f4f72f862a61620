"""The embedded server, shared by real processes that die in every way."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import psycopg
import pytest

from yeoul.core.db import embedded
from yeoul.core.db.embedded import DatabaseFolderUnusable, EmbeddedServer

pytestmark = pytest.mark.xdist_group("embedded")

USER = """
import sys
from pathlib import Path
from yeoul.core.db import embedded
server = embedded.start(Path(sys.argv[1]))
print(server.pid, flush=True)
sys.stdin.readline()
server.close()
"""


class User:
    """A process that uses the server of a data folder until told to leave."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, data_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def server_pid(self) -> int:
        """Once it has started."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0

    def die(self) -> None:
        self.process.kill()
        self.process.communicate()


def wait_until(check: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answers(server: EmbeddedServer) -> bool:
    try:
        with psycopg.connect(server.url("postgres", "postgres")) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def pid_of(server: EmbeddedServer) -> int:
    assert server.pid is not None
    return server.pid


@pytest.fixture
def empty() -> Generator[Path]:
    """An empty data folder. Not pytest's own: the server's user must be able to get there."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-db-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Generator[Path]:
    """A data folder with a database in it; every test leaves its server stopped."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-db-"))
    embedded.start(folder).close()
    yield folder
    assert not (folder / "postgres" / "postmaster.pid").exists()
    shutil.rmtree(folder)


def test_first_starts_at_once_share_one_server_until_the_last_leaves(empty: Path) -> None:
    cut_off = empty / "postgres.new"  # what a start that was killed half-way leaves behind
    cut_off.mkdir()
    (cut_off / "PG_VERSION").write_text("18")
    users = [User(empty) for _ in range(4)]
    pids = {user.server_pid for user in users}
    assert len(pids) == 1
    (pid,) = pids
    for user in users[:-1]:
        user.leave()
        assert lives(pid)
    users[-1].leave()
    assert not lives(pid)
    assert not (empty / "postgres" / "postmaster.pid").exists()


def test_the_server_outlives_its_killed_user_and_the_next_start_joins_it(made: Path) -> None:
    user = User(made)
    pid = user.server_pid
    user.die()
    assert lives(pid)
    server = embedded.start(made)
    assert server.pid == pid
    server.close()
    assert not lives(pid)


def test_a_killed_user_does_not_keep_the_server_running(made: Path) -> None:
    killed, stays = User(made), User(made)
    pid = killed.server_pid
    assert stays.server_pid == pid
    killed.die()
    stays.leave()
    assert not lives(pid)


def test_a_killed_server_is_started_again_by_who_uses_it(made: Path) -> None:
    server = embedded.start(made)
    other = User(made)
    try:
        pid = pid_of(server)
        assert other.server_pid == pid
        with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        psutil.Process(pid).kill()
        wait_until(lambda: answers(server), seconds=10)
        assert server.pid != pid
        with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
            connection.execute("DROP TABLE kept")
    finally:
        other.leave()
        last = pid_of(server)
        server.close()
    assert not lives(last)


def test_a_start_recovers_what_a_killed_server_left(made: Path) -> None:
    user = User(made)
    pid = user.server_pid
    user.die()
    psutil.Process(pid).kill()
    wait_until(lambda: not lives(pid))
    server = embedded.start(made)
    assert answers(server)
    server.close()


@pytest.mark.parametrize("lines", [0, 1, 5, 8])
def test_a_pid_file_that_names_a_stranger_is_not_believed(made: Path, lines: int) -> None:
    """After a crash the number may be anybody's; after one during the start the file is not even whole."""
    server = embedded.start(made)
    pid_file = made / "postgres" / "postmaster.pid"
    content = pid_file.read_text().splitlines()
    server.close()
    stranger = subprocess.Popen(["sleep", "600"], user=pid_file.parent.owner())
    try:
        for lock in (pid_file, pid_file.with_name(".s.PGSQL.5432.lock")):
            lock.write_text("".join(f"{line}\n" for line in [str(stranger.pid), *content[1:]][:lines]))
            shutil.chown(lock, pid_file.parent.owner())
        server = embedded.start(made)
        assert server.pid != stranger.pid
        assert answers(server)
        server.close()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_closing_twice_is_closing_once(made: Path) -> None:
    first, second = embedded.start(made), embedded.start(made)
    first.close()
    first.close()
    assert answers(second)
    second.close()


def test_a_long_path_works(made: Path) -> None:
    long = made.parent / ("yeoul-" + "x" * 120)
    made.rename(long)
    try:
        server = embedded.start(long)
        assert answers(server)
        server.close()
    finally:
        long.rename(made)


def test_no_login_comes_in_without_its_password(made: Path) -> None:
    server = embedded.start(made)
    try:
        url = server.url("postgres", "postgres")
        for wrong in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(url.replace(f":{server.password}@", f":{wrong}@"))
        assert answers(server)
        assert (made / "postgres.password").stat().st_mode & 0o077 == 0
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT type, auth_method FROM pg_hba_file_rules").fetchall() == [
                ("local", "scram-sha-256")
            ]
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    finally:
        server.close()


def test_a_lost_password_is_said(made: Path) -> None:
    password = made / "postgres.password"
    aside = password.rename(made / "aside")
    try:
        with pytest.raises(DatabaseFolderUnusable, match=r"postgres\.password back"):
            embedded.start(made)
    finally:
        aside.rename(password)


@pytest.mark.parametrize(("version", "said"), [("16\n", "made by PostgreSQL 16"), ("", "unknown version")])
def test_a_folder_of_another_version_is_left_alone(empty: Path, version: str, said: str) -> None:
    folder = empty / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text(version)
    with pytest.raises(DatabaseFolderUnusable, match=said) as raised:
        embedded.start(empty)
    assert "YEOUL_DATA_DIR" in raised.value.detail
    assert [path.name for path in folder.iterdir()] == ["PG_VERSION"]


@pytest.mark.parametrize("name", ["photo.jpg", "PG_VERSION"])
def test_a_folder_that_is_not_ours_is_left_alone(empty: Path, name: str) -> None:
    """Even when it holds a database of the right version: made by somebody else, it is not ours to open."""
    folder = empty / "postgres"
    folder.mkdir()
    (folder / name).write_text("18\n")
    with pytest.raises(DatabaseFolderUnusable, match="did not make"):
        embedded.start(empty)
    assert (folder / name).read_text() == "18\n"
