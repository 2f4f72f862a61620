"""A disk that is full where the event log lies: work waits, nothing is lost, and it goes on once there is room."""

import shutil
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.core.runtime.helpers import until
from tests.faults.system import Follower, Process, System

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

DISK = "24m"
"""Room for a day's partition and its index, and little more."""


@pytest.fixture
def disk() -> Generator[Path]:
    """A small disk of its own."""
    folder = Path(f"/tmp/yeoul-disk-{psutil.Process().pid}")  # noqa: S108  (a mount point that its users can reach)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=777", "tmpfs", str(folder)]
    try:
        if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("a disk that can be filled takes a mount, and so root")
        yield folder
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


def move_the_log(system: System, disk: Path) -> None:
    """Puts the partitions of job streams, and those yet to come, on the small disk."""
    place = disk / "events"
    place.mkdir()
    assert system.postgres is not None
    uid, gid = psutil.Process(system.postgres).uids().real, psutil.Process(system.postgres).gids().real
    shutil.chown(place, uid, gid)
    system.query(f"CREATE TABLESPACE small LOCATION '{place}'")
    for (name,) in system.query(
        "SELECT c.relname::text FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        " WHERE c.relkind IN ('r', 'i') AND c.relname ~ '^events_(2|default)' ORDER BY 1"
    ):
        kind = "INDEX" if name.endswith("_pkey") else "TABLE"
        system.query(f"ALTER {kind} yeoul.{name} SET TABLESPACE small")


async def test_a_full_disk(system: System, disk: Path, client: httpx.AsyncClient) -> None:
    server = system.serve("api")
    worker = system.start("worker").wait_ready()
    move_the_log(system, disk)
    await system.register(client)
    given = {"words": 12, "ms": 30}
    running = Follower(system, client, await system.submit_kind(client, "faults.steps", {**given, "times": 2}))
    await running.until("text")
    fill(disk)
    # Text enough to need a page more than there is: until then the log still has room in those it has.
    big = [
        Follower(system, client, await system.submit_kind(client, "faults.text", {"words": 2000, "ms": 0}))
        for _ in range(12)
    ]
    await until(lambda: worker.said("could not write") or worker.said("could not claim"))
    late = Follower(system, client, await system.submit_kind(client, "faults.nothing", {}))
    assert system.query("SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')")[0][0] > 0
    assert server.lives
    assert worker.lives
    (disk / "filler").unlink()
    for watched in (running, late, *big):
        await watched.to_the_end()
        await watched.checked()
        assert watched.kinds[-1] == "succeeded"
        assert (await system.job(client, watched.job_id))["attempt"] == 1
    for process in (worker, server):
        assert ended_well(process)


def fill(disk: Path) -> None:
    """Writes until there is no room."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


def ended_well(process: Process) -> bool:
    return process.end(signal.SIGTERM) == 0
