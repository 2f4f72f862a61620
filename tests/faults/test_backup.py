"""Kept means kept: backups under load, restores that are killed, and databases of an older PostgreSQL."""

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.core.runtime.helpers import until
from tests.faults.conftest import copied
from tests.faults.nursery import Nursery
from tests.faults.older import downgrade, installed
from tests.faults.system import Follower, Process, System
from tests.faults.test_processes import words
from yeoul.core.db import embedded
from yeoul.core.runtime.services import DATABASE_NAME

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ENDLESS = "50000 words, 40 ms"
"""An answer that outlasts the test; it is canceled."""
ACCOUNT = {"email": "mina@example.com", "password": "a long passphrase"}

KILLED = """
import os, signal, sys
folder, left = sys.argv[1], int(sys.argv[2])
def hook(event, given):
    global left
    if event == "os.rename" and folder in (os.path.dirname(str(given[0])), os.path.dirname(str(given[1]))):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = ["yeoul", *sys.argv[3:]]
from yeoul.cli import main
main()
"""
"""A command that kills itself just before so many renames of what lies directly in a data folder."""


@pytest.fixture
def elsewhere(nursery: Nursery) -> Generator[System]:
    """A data folder with nothing in it."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-faults-"))
    system = System(folder, nursery)
    yield system
    system.close()
    shutil.rmtree(folder)


def ended(process: Process) -> str:
    """Waits for a command that must succeed; what it said."""
    code = process.process.wait(120)
    process._ready.wait(10)
    assert code == 0, "".join(process.log)
    return "".join(process.log)


async def events(
    system: System, client: httpx.AsyncClient, job_id: str, after: int = 0
) -> list[tuple[int | None, str, Any]]:
    """(seq, type, data) of a job's stream from a cursor to its end; what is only for watchers left out."""
    answer = await client.get(system.path(f"/api/jobs/{job_id}/events"), params={"after": after}, timeout=120)
    assert answer.status_code == 200, answer.text
    found = []
    for frame in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line and not line.startswith(":"))
        if "event" in fields and fields["event"] != "queued":
            seq = int(fields["id"]) if "id" in fields else None
            found.append((seq, fields["event"], json.loads(fields["data"])))
    return found


async def sign_in(system: System, client: httpx.AsyncClient, path: str = "login") -> dict[str, Any]:
    client.headers.pop("Authorization", None)
    answer = await client.post(system.path(f"/api/auth/{path}"), json=ACCOUNT)
    assert answer.status_code in (200, 201), answer.text
    tokens: dict[str, Any] = answer.json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    return tokens


async def test_under_load_and_restored_elsewhere(
    system: System, elsewhere: System, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    first = system.serve(YEOUL_WORKER_CONCURRENCY="3")
    tokens = await sign_in(system, client, "register")
    done = await system.submit(client, "20 words, 1 ms")
    await Follower(system, client, done).to_the_end()
    done_events = await events(system, client, done)
    running = [await system.submit(client, ENDLESS) for _ in range(3)]
    followers = [Follower(system, client, job_id) for job_id in running]
    for follower in followers:
        await follower.until("text", 3)
    waiting = [await system.submit(client, "10 words, 1 ms") for _ in range(8)]

    file = tmp_path / "kept.zip"
    said = await asyncio.to_thread(ended, system.start("backup", str(file)))
    assert "It holds secrets" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    # The time that will be lost: clients read on, and a job is made that the backup does not know.
    lost = await system.submit(client, "3 words, 1 ms")
    for follower in followers:
        await follower.until("text", sum(kind == "text" for _, kind, _ in follower.events) + 10)
    first.end(signal.SIGKILL)
    cursors = {follower.job_id: follower.events[-1][0] for follower in followers}
    assert len(cursors) == 3
    for follower in followers:
        follower._task.cancel()

    assert "Restored into" in await asyncio.to_thread(ended, elsewhere.start("restore", str(file)))
    assert (elsewhere.data_dir / "secret.key").read_bytes() == (system.data_dir / "secret.key").read_bytes()
    elsewhere.serve(YEOUL_WORKER_CONCURRENCY="3")
    gone = await client.post(elsewhere.path("/api/auth/refresh"), json={"refresh_token": tokens["refresh_token"]})
    assert gone.status_code == 401, "sessions have ended"
    await sign_in(elsewhere, client)
    assert (await client.get(elsewhere.path(f"/api/jobs/{lost}"))).status_code == 404

    assert await events(elsewhere, client, done) == done_events
    for job_id in running:
        await until_said_again(elsewhere, job_id)
        await client.post(elsewhere.path(f"/api/jobs/{job_id}/cancel"), params={"wait": 25})
    for job_id in [*running, *waiting]:
        # Followed from the cursor of the lost time: forget everything, then all of it, without a gap.
        got = await events(elsewhere, client, job_id, cursors.get(job_id, 3))
        assert got[0][:2] == (None, "reset")
        seqs = [seq for seq, _, _ in got[1:]]
        assert seqs[0] is not None
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert got[1:] == await events(elsewhere, client, job_id)
        kinds = [kind for _, kind, _ in got if kind not in {"text", "usage"}]
        job = await elsewhere.job(client, job_id)
        if job_id in running:
            assert kinds == ["reset", "started", "restored", "retrying", "started", "canceled"]
            assert (job["status"], job["attempt"]) == ("canceled", 1)
        else:
            assert kinds == ["reset", "restored", "started", "succeeded"]
            assert "".join(data["delta"] for _, kind, data in got if kind == "text") == words(10)
            assert (job["status"], job["attempt"], job["output"]["text"]) == ("succeeded", 1, words(10))
    assert elsewhere.query("SELECT count(*) FROM jobs WHERE status = 'running'") == [(0,)]


async def until_said_again(system: System, job_id: str) -> None:
    """Waits until the job has been started again, and speaks."""
    again = (
        "SELECT count(*) > 3 FROM events WHERE stream_id = %s AND type = 'text' AND seq > ALL ("
        "SELECT seq FROM events WHERE stream_id = %s AND type = 'retrying')"
    )
    await until(lambda: system.query(again, job_id, job_id) == [(True,)], seconds=90)


@pytest.fixture(scope="module")
def two(prepared: Path, nursery: Nursery) -> Generator[tuple[Path, Path]]:
    """A data folder of before, and a backup of another installation."""
    with copied(prepared, nursery) as before, copied(prepared, nursery) as other:
        for system, name in ((before, "before"), (other, "backup")):
            server = embedded.start(system.data_dir)
            try:
                system.query("INSERT INTO users (id, email) VALUES (uuidv7(), %s)", name)
            finally:
                server.close()
            (system.data_dir / "secret.key").write_text(f"the key of {name}".ljust(40))
        file = other.data_dir / "kept.zip"
        ended(other.start("backup", str(file)))
        yield before.data_dir, file


def state(folder: Path) -> tuple[str, str, str]:
    """Whose database and whose key a folder has after its next start, and what else it holds."""
    server = embedded.start(folder)
    try:
        url = server.url("postgres", DATABASE_NAME)
        with psycopg.connect(url) as connection:
            ((email,),) = connection.execute("SELECT email FROM yeoul.users WHERE disabled_at IS NULL").fetchall()
    finally:
        server.close()
    return (
        email,
        (folder / "secret.key").read_text().split()[-1],
        "moving.json" if (folder / "moving.json").exists() else "",
    )


TOGETHER = pytest.mark.xdist_group("faults backup")
"""Those that share two folders, which take seconds to make."""
BEFORE, AFTER = ("before", "before", ""), ("backup", "backup", "")


@TOGETHER
@pytest.mark.parametrize(
    ("renames", "expected"), [(1, BEFORE), (2, AFTER), (4, AFTER), (5, AFTER), (7, AFTER), (99, AFTER)]
)
def test_a_restore_killed_while_it_moves(
    two: tuple[Path, Path], nursery: Nursery, renames: int, expected: tuple[str, str, str]
) -> None:
    """Database and key are both the old ones, or both the restored, wherever it dies."""
    folder, file = two
    with copied(folder, nursery) as system:
        kept = {k: v for k, v in os.environ.items() if not re.search(r"^YEOUL_|_API_KEY$|_BASE_URL$", k)}
        done = subprocess.run(
            [sys.executable, "-c", KILLED, system.data_dir, str(renames), "restore", file, "--replace", "--yes"],
            env=kept | {"YEOUL_DATA_DIR": str(system.data_dir)},
            cwd=system.data_dir,
            capture_output=True,
            check=False,
        )
        assert done.returncode == (0 if renames == 99 else -signal.SIGKILL), done.stderr.decode()
        assert state(system.data_dir) == expected
        aside = list(system.data_dir.glob("before-restore-*/postgres"))
        assert len(aside) == (expected is AFTER), "what was there before is kept"


@TOGETHER
async def test_a_restore_killed_while_it_loads(two: tuple[Path, Path], nursery: Nursery) -> None:
    """What was there is untouched; the next try cleans up after it."""
    folder, file = two
    with copied(folder, nursery) as system:
        restore = system.start("restore", str(file), "--replace", "--yes")
        await until((system.data_dir / "restore.new/postgres/postmaster.pid").exists, seconds=60)
        restore.end(signal.SIGKILL)
        assert state(system.data_dir) == BEFORE
        ended(system.start("restore", str(file), "--replace", "--yes"))
        assert state(system.data_dir) == AFTER
        assert not (system.data_dir / "restore.new").exists()
        ended(system.start("restore", "--delete-old"))
        assert list(system.data_dir.glob("before-*")) == []


@TOGETHER
def test_not_into_a_folder_in_use(two: tuple[Path, Path], nursery: Nursery) -> None:
    folder, file = two
    with copied(folder, nursery) as system:
        refused = system.start("restore", str(file))
        assert refused.process.wait(60) == 1
        server = embedded.start(system.data_dir)
        try:
            in_use = system.start("restore", str(file), "--replace", "--yes")
            assert in_use.process.wait(60) == 1
        finally:
            server.close()
        in_use._ready.wait(10)
        assert "--replace, which keeps what is there aside" in "".join(refused.log)
        assert "is in use. Stop every `yeoul serve`" in "".join(in_use.log)
        assert state(system.data_dir) == BEFORE


OLDER = [*installed(), *([] if len(installed()) > 1 else [None])]


@pytest.mark.parametrize("bin_path", OLDER, ids=lambda path: "system" if path is None else Path(path).parent.name)
async def test_a_database_of_an_older_postgresql(
    system: System, client: httpx.AsyncClient, bin_path: Path | None
) -> None:
    """Refused with the command that helps; upgraded by it, the old one kept; accounts, jobs and streams as before."""
    if bin_path is None:
        pytest.skip("no older PostgreSQL in /usr/lib/postgresql: apt-get install postgresql-15")
    server = system.serve()
    await sign_in(system, client, "register")
    done = await system.submit(client, "20 words, 1 ms")
    await Follower(system, client, done).to_the_end()
    before = await events(system, client, done)
    unfinished = Follower(system, client, await system.submit(client, "60 words, 40 ms"))
    await unfinished.until("text", 3)
    assert await asyncio.to_thread(server.end, signal.SIGTERM) == 0
    await asyncio.to_thread(downgrade, system.data_dir, bin_path)
    version = (system.data_dir / "postgres/PG_VERSION").read_text().strip()

    refused = system.start("serve", "--port", "0")
    assert await asyncio.to_thread(refused.process.wait, 60) == 1
    refused._ready.wait(10)
    assert f"was made by PostgreSQL {version}" in "".join(refused.log)
    assert "`yeoul upgrade-database`" in "".join(refused.log)
    wrong = system.start("upgrade-database", "--from-bin", "/nowhere")
    assert await asyncio.to_thread(wrong.process.wait, 60) == 1

    said = await asyncio.to_thread(ended, system.start("upgrade-database", "--from-bin", str(bin_path)))
    assert f"is PostgreSQL {embedded.MAJOR} now, every row counted" in said
    old = system.data_dir / f"postgres-{version}.old"
    assert (old / "PG_VERSION").read_text().strip() == version
    assert not (old / "postmaster.pid").exists()
    system.serve()
    async with httpx.AsyncClient(timeout=30) as other:
        await sign_in(system, other)
    assert await events(system, client, done) == before, "with the session of before, too"
    await unfinished.to_the_end()
    assert unfinished.text() == words(60)
    ended(system.start("upgrade-database", "--delete-old"))
    assert not old.exists()
