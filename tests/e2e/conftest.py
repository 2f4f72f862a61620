"""The whole system from outside: ``yeoul serve`` as a process, driven by a real Chromium.

Every page is watched: an error in its console, an uncaught exception or a violation of the content security policy
fails the test it happens in. The browser is one for all tests, so their modules share one event loop
(``pytestmark = IN_BROWSER``).
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import APIResponse, Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.ports import free_port

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PASSWORD = "a long passphrase"
START_SECONDS = 60
expect.set_options(timeout=15_000)

IN_BROWSER = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]
NewContext = Callable[..., Awaitable[BrowserContext]]


@dataclass
class Server:
    """A running ``yeoul serve``."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None
    log: list[str] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, each time on the same port, and waits until it says that it is ready."""
        kept = {
            name: value for name, value in os.environ.items() if not re.search(r"^YEOUL_|_API_KEY$|_BASE_URL$", name)
        }
        environment = {
            **kept,
            "YEOUL_DATA_DIR": str(self.data_dir),
            "YEOUL_FAKE_MODELS": "true",
            "YEOUL_LOCAL_ENABLED": "false",
            "YEOUL_DEFAULT_MODEL": "fake/echo",
            "YEOUL_REGISTRATIONS_PER_ADDRESS": "1000",
            "YEOUL_LEASE_SECONDS": "2",
            "YEOUL_DRAIN_SECONDS": "1",
            "COLUMNS": "200",
            **self.more,
        }
        command = [str(Path(sys.executable).with_name("yeoul")), "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=environment, cwd=self.data_dir, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self.process, ready), daemon=True).start()
        if not ready.wait(START_SECONDS) or self.process.poll() is not None:
            raise RuntimeError("yeoul serve did not start:\n" + "".join(self.log[-40:]))

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.log.append(line)
                if found := re.search(r"ready.*http://127\.0\.0\.1:(\d+)", line):
                    self.port = int(found[1])
                    ready.set()
        ready.set()  # it has ended: nobody need wait for more

    def forget_events(self, job_id: str) -> None:
        """Deletes a job's events, as maintenance does once they are past their time."""
        password = (self.data_dir / "postgres.password").read_text().strip()
        url = f"host={self.data_dir / 'postgres'} user=postgres dbname=yeoul password={password}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DELETE FROM yeoul.events WHERE stream_id = %s", [job_id])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(30)
        self.process = None


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Where Chromium is; skips without one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium: install the package chromium, or name one in the variable CHROMIUM")
    return found


def new_server(**more: str) -> Generator[Server]:
    """A server on data of its own, with settings beside the usual."""
    folder = Path(tempfile.mkdtemp(prefix="yeoul-e2e-"))
    server = Server(folder, more=more)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(browser_path: str) -> Generator[Server]:
    """The server most tests share; each has users of its own."""
    yield from new_server()


@pytest.fixture
def own_server(browser_path: str) -> Generator[Server]:
    """A server nobody has registered at, which the test may stop and start."""
    yield from new_server()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(browser_path: str) -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        yield browser
        await browser.close()


@dataclass
class Watch:
    """What went wrong in the pages of a test; ``allowed`` are patterns of what the test provokes."""

    errors: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def unexpected(self) -> list[str]:
        return [error for error in self.errors if not any(re.search(pattern, error) for pattern in self.allowed)]


@pytest.fixture
def watch() -> Generator[Watch]:
    watch = Watch()
    yield watch
    assert watch.unexpected() == []


@pytest_asyncio.fixture(loop_scope="session")
async def new_context(browser: Browser, watch: Watch) -> AsyncGenerator[NewContext]:
    """Opens browser contexts: each like a fresh browser of its own."""
    opened: list[BrowserContext] = []

    async def new(base_url: str, **options: Any) -> BrowserContext:
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = await browser.new_context(base_url=base_url, **options)
        context.set_default_timeout(15_000)
        context.on("page", watch.follow)
        opened.append(context)
        return context

    yield new
    for context in opened:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(new_context: NewContext, server: Server) -> BrowserContext:
    """A browser with a signed-in user of its own."""
    context = await new_context(server.url)
    await sign_up(context, server)
    return context


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


async def sign_up(context: BrowserContext, server: Server, email: str | None = None) -> str:
    """Registers a new user in this browser; gives the email."""
    email = email or f"{uuid4().hex[:12]}@example.com"
    answer = await post(context, server, "/api/auth/register", {"email": email, "password": PASSWORD})
    assert answer.status == 201, await answer.text()
    return email


async def post(context: BrowserContext, server: Server, path: str, body: object = None) -> APIResponse:
    """A POST as a page of ours would send it."""
    return await context.request.post(path, data=body, headers={"Origin": server.url})


async def submit(context: BrowserContext, server: Server, prompt: str, model: str = "fake/echo", **more: Any) -> str:
    """Submits a completion behind the page's back; gives the job's id."""
    body = {"kind": "llm.complete", "input": {"model": model, "prompt": prompt, **more}}
    answer = await post(context, server, "/api/jobs", body)
    assert answer.status == 202, await answer.text()
    return str((await answer.json())["id"])


async def job_of(context: BrowserContext, job_id: str) -> dict[str, Any]:
    """The job as the API gives it."""
    job: dict[str, Any] = await (await context.request.get(f"/api/jobs/{job_id}")).json()
    return job


async def ended(context: BrowserContext, server: Server, job_id: str) -> dict[str, Any]:
    """The job once it has ended, however it does."""
    events = await context.request.get(f"/api/jobs/{job_id}/events", timeout=30_000)
    assert events.ok
    return await job_of(context, job_id)
