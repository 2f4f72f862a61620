"""The command line: called in this process where that shows enough, as a process of its own where it matters."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner, Result

from yeoul.cli import app
from yeoul.core.base.ids import new_id
from yeoul.core.db import migrate
from yeoul.core.db.database import driver_url
from yeoul.core.db.embedded import EmbeddedServer
from yeoul.core.runtime.services import DatabaseUrls

SECONDS = 60

Yeoul = Callable[..., Result]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment(urls: DatabaseUrls, tmp_path: Path) -> dict[str, str]:
    """Variables of an installation on a database of its own, with the scripted models and no others."""
    kept = {k: v for k, v in os.environ.items() if not re.search(r"^YEOUL_|_API_KEY$|_BASE_URL$", k)}
    return kept | {
        "YEOUL_DATA_DIR": str(tmp_path / "data"),
        "YEOUL_DATABASE_URL": urls.app,
        "YEOUL_SERVICE_DATABASE_URL": urls.service,
        "YEOUL_FAKE_MODELS": "true",
        "YEOUL_LOCAL_ENABLED": "false",
        "YEOUL_DEFAULT_MODEL": "fake/echo",
        "YEOUL_LEASE_SECONDS": "2",
        "COLUMNS": "200",
    }


@pytest.fixture
def embedded_environment(environment: dict[str, str]) -> Generator[dict[str, str]]:
    """The same with an embedded database that is still to be made. The folder's name is short: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="yeoul-") as folder:
        outside = ("YEOUL_DATABASE_URL", "YEOUL_SERVICE_DATABASE_URL")
        yield {k: v for k, v in environment.items() if k not in outside} | {"YEOUL_DATA_DIR": folder}


@pytest.fixture
def yeoul(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yeoul:
    """Runs a command in this process: ``yeoul("run", "-", input="…", YEOUL_PORT="1")``. A variable None is unset."""
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def call(*words: str, input: str | None = None, **variables: str | None) -> Result:  # noqa: A002  (CliRunner's)
        return CliRunner().invoke(app, list(words), input=input, env=variables)

    return call


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Generator[Start]:
    """Starts a command as a process of its own, and sees to it that none is left."""
    started: list[subprocess.Popen[str]] = []

    def make(*words: str, env: Mapping[str, str] = environment, stdin: int | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "yeoul", *words],
            env=env,
            cwd=tmp_path,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        if process.poll() is None:  # the test failed
            process.kill()
        process.communicate()


def one(urls: DatabaseUrls, query: str, *values: object) -> object:
    """The first column of the first row, as the administrator."""
    assert urls.admin is not None
    with psycopg.connect(driver_url(urls.admin), autocommit=True) as connection:
        row = connection.execute(query.encode(), values).fetchone()
    return None if row is None else row[0]


def change(urls: DatabaseUrls, statement: str) -> None:
    """Runs a statement as the administrator."""
    assert urls.admin is not None
    with psycopg.connect(driver_url(urls.admin), autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def empty(postgres: EmbeddedServer) -> Generator[DatabaseUrls]:
    """A database that nobody has migrated."""
    name = f"test_{new_id().hex}"
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield DatabaseUrls(
        postgres.url(migrate.APP, name), postgres.url(migrate.SERVICE, name), postgres.url("postgres", name)
    )
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
