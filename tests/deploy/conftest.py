"""Two APIs, three workers, one embedded database and an nginx in front: once for all tests of a module's process."""

import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.deploy.fleet import Nginx, Process, clean_environment
from tests.ports import free_port
from yeoul.core.db import embedded
from yeoul.core.db.database import driver_url
from yeoul.core.runtime.services import DATABASE_NAME

LOGIN_ATTEMPTS = 3
CONCURRENCY = 2
"""Jobs of one worker: few, so that six jobs need all three."""


@dataclass
class Fleet:
    """The running installation."""

    nginx: Nginx
    apis: dict[str, Process]
    """By the address nginx calls them at."""
    workers: list[Process]
    database_url: str

    def row(self, query: str, *values: object) -> dict[str, Any]:
        """The first row of a query, as the administrator."""
        with psycopg.connect(driver_url(self.database_url), autocommit=True, row_factory=dict_row) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        return row

    def worker_of(self, job_id: str) -> Process:
        """The process that runs a job."""
        found = self.row(
            "SELECT w.pid FROM yeoul.jobs j JOIN yeoul.workers w ON w.id = j.worker_id WHERE j.id = %s", job_id
        )
        return next(worker for worker in self.workers if worker.pid == found["pid"])


@pytest.fixture(scope="session")
def fleet() -> Generator[Fleet]:
    """The installation. Everything starts at once, as after a power cut."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-fleet-"))  # a short name: the database's socket lies in it
    ports = [free_port(), free_port()]
    processes: list[Process] = []
    nginx = None
    try:
        nginx = Nginx(folder / "nginx", ports)
        environment = clean_environment() | {
            "YEOUL_DATA_DIR": str(folder / "data"),
            "YEOUL_PUBLIC_URL": "https://ai.example.com",
            "YEOUL_FAKE_MODELS": "true",
            "YEOUL_LOCAL_ENABLED": "false",
            "YEOUL_DEFAULT_MODEL": "fake/echo",
            "YEOUL_LOGIN_ATTEMPTS": str(LOGIN_ATTEMPTS),
            "YEOUL_REGISTRATIONS_PER_ADDRESS": "1000",
            "YEOUL_DRAIN_SECONDS": "0",
            "YEOUL_USER_SHARE": "1",
            "COLUMNS": "200",
        }
        apis = {f"127.0.0.1:{port}": Process(["api", "--port", str(port)], environment, folder) for port in ports}
        jobs = ["--concurrency", str(CONCURRENCY)]
        workers = [
            Process(["worker", *jobs, *pool], environment, folder) for pool in ([], [], ["--kinds", "llm.complete"])
        ]
        processes = [*apis.values(), *workers]
        for process in processes:
            process.start(wait=False)
        for process in processes:
            process.wait_ready()
        nginx.start()
        server = embedded.start(folder / "data")
        try:
            yield Fleet(nginx, apis, workers, server.url("postgres", DATABASE_NAME))
        finally:
            server.close()
    finally:
        if nginx is not None:
            nginx.stop()
        for process in processes:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def client(fleet: Fleet) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the site that nginx serves, signed in as a new user."""
    async with httpx.AsyncClient(base_url=fleet.nginx.url, verify=fleet.nginx.tls, timeout=30) as made:
        body = {"email": f"{uuid4().hex}@example.com", "password": "a long passphrase"}
        answer = await made.post("/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        made.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield made


@dataclass(frozen=True)
class Said:
    """One event of a stream."""

    seq: int
    """0 for what is no part of the log."""
    type: str
    data: dict[str, Any]


async def submit(client: httpx.AsyncClient, prompt: str, model: str = "fake/slow") -> str:
    """Submits a completion; the job's id."""
    body = {"kind": "llm.complete", "input": {"model": model, "prompt": prompt}}
    answer = await client.post("/api/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def events(answer: httpx.Response) -> AsyncGenerator[Said]:
    """The events of a stream, as they arrive."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield Said(int(fields.get("id", "0")), fields["event"], json.loads(fields["data"]))
            fields = {}
        if not line:
            fields = {}
