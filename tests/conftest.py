"""What tests stand on: one real PostgreSQL for the whole run, and a fresh database for every test that wants one."""

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from psycopg import sql

from yeoul.app import _Server, create_app, listen
from yeoul.core.base.ids import new_id
from yeoul.core.db import embedded, migrate
from yeoul.core.db.database import Database
from yeoul.core.jobs.kinds import Kind, Kinds
from yeoul.core.llm import weights
from yeoul.core.llm.errors import WeightsUnavailable
from yeoul.core.llm.progress import shown
from yeoul.core.runtime.services import DatabaseUrls, Services, open_services
from yeoul.core.runtime.worker import Worker
from yeoul.schema import METADATA
from yeoul.settings import Settings

TEMPLATE = "yeoul_template"
LOCAL_MODEL = "smollm2-135m"
MEMORY = Path("/dev/shm")  # noqa: S108  (a place in memory, for what a test run throws away)
MEMORY_BYTES = 6 << 30

# A fresh database is 300 files: 15 ms in memory, 300 ms on a slow disk.
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# A shell ignores Ctrl-C for what it runs in the background, and nohup the end of the terminal: so would every process
# that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what decides how long tests take."""
    terminalreporter.write_line(f"{os.cpu_count()} cores, databases in {tempfile.gettempdir()}")


def pytest_xdist_auto_num_workers() -> int:
    """Half as many test processes again as there are cores: tests wait more than they compute."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to distribute tests without their groups: all would pass, and take minutes longer."""
    if config.getoption("dist", "no") == "loadgroup" and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError("pytest-xdist cannot group tests with this pytest: see its bound in pyproject.toml")


@pytest.fixture(autouse=True)
def _plain_logs() -> Generator[None]:
    """Tracebacks as Python prints them: drawn with every variable they take seconds. And so again after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


@pytest.fixture(scope="session")
def run_dir() -> Generator[Path]:
    """A short folder (socket paths are limited) that all processes of this test run share."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"alone-{os.getpid()}")[:16]
    path = Path(tempfile.gettempdir()) / f"yeoul-tests-{run}"
    with path.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        path.mkdir(exist_ok=True)
        yield path
        with suppress(BlockingIOError):  # others still use it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
            path.with_suffix(".lock").unlink()


@pytest.fixture(scope="session")
def postgres(run_dir: Path) -> Generator[embedded.EmbeddedServer]:
    """The embedded PostgreSQL of the whole run, shared by every test process, with the template database in it."""
    server = embedded.start(run_dir)
    with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # tests kill processes, never this machine's power
        connection.execute("SELECT pg_reload_conf()")
    migrate.ensure_database(server.url("postgres", "postgres"), TEMPLATE)
    migrate.upgrade(server.url("postgres", TEMPLATE), logins(server), METADATA)
    yield server
    server.close()


def logins(server: embedded.EmbeddedServer) -> tuple[migrate.Login, migrate.Login]:
    """The two logins of a server."""
    return migrate.Login(migrate.APP, server.password), migrate.Login(migrate.SERVICE, server.password)


@pytest.fixture
def urls(postgres: embedded.EmbeddedServer) -> Generator[DatabaseUrls]:
    """A fresh, migrated database."""
    with fresh_database(postgres) as urls:
        yield urls


@contextmanager
def fresh_database(postgres: embedded.EmbeddedServer) -> Generator[DatabaseUrls]:
    """A copy of the template."""
    name = f"test_{new_id().hex}"
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
    yield DatabaseUrls(
        postgres.url(migrate.APP, name), postgres.url(migrate.SERVICE, name), postgres.url("postgres", name)
    )
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def settings(urls: DatabaseUrls, tmp_path: Path) -> Settings:
    """Settings of a process on that database, with the scripted models and no others."""
    return Settings(
        _env_file=None,
        data_dir=tmp_path,
        database_url=urls.app,
        service_database_url=urls.service,
        fake_models=True,
        local_enabled=False,
        default_model="fake/echo",
        openai_api_key=None,
        anthropic_api_key=None,
        gemini_api_key=None,
        perplexity_api_key=None,
        drain_seconds=2,
    )


@pytest.fixture
async def database(urls: DatabaseUrls) -> AsyncGenerator[Database]:
    """The two pools on that database."""
    database = Database(urls.app, urls.service, pool_size=4)
    yield database
    await database.close()


@pytest.fixture
def kinds() -> Kinds | None:
    """The kinds the API knows; null for those it has by itself. For tests to override."""
    return None


@pytest.fixture
async def app(settings: Settings, kinds: Kinds | None) -> AsyncGenerator[FastAPI]:
    """The API, running, with a worker in the same process."""
    app = create_app(settings, worker=True, kinds=kinds)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the API that is signed in as nobody."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
async def address(app: FastAPI) -> AsyncGenerator[str]:
    """The API behind a real HTTP server: its address. Streams are live there, as they are not through ``client``."""
    ready = asyncio.Event()
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=2)
    server = _Server(config, ready.set)
    with listen("127.0.0.1", 0) as listening:
        listening.listen()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await ready.wait()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        app.state.services.events.end_all()
        server.should_exit = True
        await serving


@pytest.fixture(scope="session")
def local_weights() -> Path:
    """The folder with the local model's weights, which test runs share; skips where they cannot be had."""
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    folder = Path(os.environ.get("YEOUL_TEST_MODELS_DIR", "~/.cache/yeoul-test-models")).expanduser()
    try:
        with shown(LOCAL_MODEL) as report:
            weights.pull(LOCAL_MODEL, folder, report, hub_url=Settings(_env_file=None).hub_url)
    except WeightsUnavailable as error:
        pytest.skip(f"no weights for the local model: {error}")
    return folder


@dataclass(frozen=True)
class Account:
    """A registered user, and the header that signs a request as theirs."""

    id: UUID
    email: str
    headers: dict[str, str]


Register = Callable[[str], Awaitable[Account]]


@pytest.fixture
def register(client: httpx.AsyncClient) -> Register:
    """Registers a user by the name before the @."""

    async def make(name: str) -> Account:
        body = {"email": f"{name}@example.com", "password": "correct horse battery"}
        answer = await client.post("/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return Account(UUID(made["user"]["id"]), body["email"], {"Authorization": f"Bearer {made['access_token']}"})

    return make


@pytest.fixture
async def user_id(database: Database) -> UUID:
    """A user without a password, for tests below HTTP."""
    return await add_user(database)


async def add_user(database: Database) -> UUID:
    """Inserts a user."""
    made = new_id()
    async with database.service_connection() as connection:
        await connection.execute("INSERT INTO users (id, email) VALUES (%s, %s)", [made, f"{made}@example.com"])
    return made


@asynccontextmanager
async def process(
    settings: Settings, urls: DatabaseUrls, *kinds: Kind, workers: int = 0, concurrency: int = 10
) -> AsyncGenerator[tuple[Services, list[Worker]]]:
    """Services as one process has them, with workers that know ``kinds``."""
    known = Kinds()
    for kind in kinds:
        known.add(kind)
    async with open_services(settings, urls, known) as services:
        made = [Worker(services, concurrency=concurrency) for _ in range(workers)]
        await services.listen.start()
        for worker in made:
            await worker.start()
        try:
            yield services, made
        finally:
            for worker in made:
                await worker.stop()
