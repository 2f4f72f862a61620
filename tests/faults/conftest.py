"""Installations of their own, made quickly: the first start's work is done once and copied."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.kinds import offered
from tests.faults.nursery import ROOT, Nursery
from tests.faults.system import System
from yeoul.core.db import embedded, migrate
from yeoul.core.runtime.services import DATABASE_NAME
from yeoul.schema import METADATA


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What offers these tests' kinds of jobs to every process."""
    return offered(tmp_path_factory.mktemp("product"))


def path_of(product: Path) -> str:
    """Python's path for such processes."""
    return f"{product}{os.pathsep}{ROOT}"


@pytest.fixture(scope="session")
def nursery(product: Path) -> Generator[Nursery]:
    """Where processes come from."""
    nursery = Nursery(PYTHONPATH=path_of(product))
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def prepared(nursery: Nursery) -> Generator[Path]:
    """A data folder with a migrated database, not running: nobody's jobs, and no maintenance that comes between."""
    folder = prepare()
    pause_maintenance(System(folder, nursery))
    yield folder
    shutil.rmtree(folder)


def pause_maintenance(system: System) -> None:
    """The first worker makes the built-in schedules, due at once: a process told to die would die of those."""
    worker = system.start("worker").wait_ready()
    system.query("UPDATE schedules SET enabled = false, next_at = NULL")
    while system.query("SELECT id FROM jobs WHERE status NOT IN ('succeeded', 'failed', 'canceled')"):
        time.sleep(0.02)
    assert worker.end(signal.SIGTERM) == 0


def prepare() -> Path:
    """Makes such a folder."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-faults-"))
    server = embedded.start(folder)
    try:
        migrate.ensure_database(server.url("postgres", "postgres"), DATABASE_NAME)
        logins = (migrate.Login(migrate.APP, server.password), migrate.Login(migrate.SERVICE, server.password))
        migrate.upgrade(server.url("postgres", DATABASE_NAME), logins, METADATA)
    finally:
        server.close()
    return folder


@pytest.fixture
def system(prepared: Path, nursery: Nursery) -> Generator[System]:
    """An installation of the test's own, with nothing running."""
    with copied(prepared, nursery) as system:
        yield system


@pytest.fixture(scope="module")
def served(prepared: Path, nursery: Nursery) -> Generator[System]:
    """An installation whose server runs through the whole module: nothing that happens there may end it."""
    with copied(prepared, nursery) as system:
        server = system.serve()
        yield system
        assert server.lives
        assert server.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def answering(prepared: Path, nursery: Nursery) -> Generator[System]:
    """An installation with an API through the whole module, and no worker of its own."""
    with copied(prepared, nursery) as system:
        api = system.serve("api")
        yield system
        assert api.lives


@contextmanager
def copied(prepared: Path, nursery: Nursery) -> Generator[System]:
    """A copy of the prepared folder; everything in it ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-faults-"))
    subprocess.run(["cp", "-a", f"{prepared}/.", folder], check=True)
    system = System(folder, nursery)
    try:
        yield system
    finally:
        system.close()
        shutil.rmtree(folder, ignore_errors=True)  # a killed database's last processes still tidy up


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client
