"""``yeoul serve``, ``api`` and ``worker`` as processes: how they start, what they say, how they end."""

import io
import logging
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.commands.conftest import SECONDS, Start, Yeoul, one
from yeoul.core.http.logs import configure
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings

READY = re.compile(r"Yeoul is ready: (http://127\.0\.0\.1:\d+)")
ACCOUNT = {"email": "mina@example.com", "password": "a long passphrase"}


def heard(process: subprocess.Popen[str], words: str) -> list[str]:
    """Its lines until one that has these words in it."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"it ended without saying {words!r}:\n{''.join(lines)}")


def address(lines: list[str]) -> str:
    found = READY.search("".join(lines))
    assert found is not None
    return found[1]


def ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """What it says after a signal; it ends well."""
    process.send_signal(number)
    _, rest = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    return rest


def test_a_first_and_a_second_start(start: Start, embedded_environment: dict[str, str]) -> None:
    postmaster = Path(embedded_environment["YEOUL_DATA_DIR"]) / "postgres" / "postmaster.pid"
    first = start("serve", "--port", "0", env=embedded_environment)
    lines = heard(first, "Ctrl-C stops")
    assert lines[0] == f"Starting; everything is kept in {embedded_environment['YEOUL_DATA_DIR']}\n"
    assert "Making the database in " in lines[1]
    assert "Making the tables" in lines[2]
    assert "the first account is the administrator's" in lines[-1]
    assert not [line for line in lines if "uvicorn" in line or "startup" in line]
    made = httpx.post(f"{address(lines)}/api/auth/register", json=ACCOUNT)
    assert made.json()["user"]["role"] == "admin"
    assert postmaster.exists()
    assert "uvicorn" not in ended(first, signal.SIGINT)
    assert not postmaster.exists(), "the database is stopped with its last user"

    second = start("serve", "--port", "0", env=embedded_environment)
    lines = heard(second, "Ctrl-C stops")
    assert "Making" not in "".join(lines)
    assert "administrator" not in lines[-1]
    assert "sign in" in lines[-1]
    ended(second, signal.SIGTERM)


@pytest.mark.parametrize(("command", "ready"), [(("api", "--port", "0"), "Ctrl-C stops"), (("worker",), "ready")])
def test_the_end_of_its_terminal_ends_it_well(
    start: Start, environment: dict[str, str], command: tuple[str, ...], ready: str
) -> None:
    process = start(*command, env=environment)
    heard(process, ready)
    ended(process, signal.SIGHUP)


def test_ctrl_c_while_starting(start: Start, environment: dict[str, str]) -> None:
    starting = start("serve", "--port", "0")
    heard(starting, "Starting;")
    assert ended(starting, signal.SIGINT) == "Stopped while starting; the next start goes on from there.\n"


def test_ctrl_c_twice_gives_running_jobs_back(start: Start, environment: dict[str, str], urls: DatabaseUrls) -> None:
    server = start("serve", "--port", "0", env=environment | {"YEOUL_DRAIN_SECONDS": "600"})
    base = address(heard(server, "Ctrl-C stops"))
    token = httpx.post(f"{base}/api/auth/register", json=ACCOUNT).json()["access_token"]
    job = {"kind": "llm.complete", "input": {"model": "fake/silent", "prompt": "x"}}
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}) as client:
        made = client.post("/api/jobs", json=job).json()["id"]
        with client.stream("GET", f"/api/jobs/{made}/events") as events:
            assert "event: started" in events.iter_lines()
    server.send_signal(signal.SIGINT)
    heard(server, "waiting for running jobs")
    assert server.poll() is None
    ended(server, signal.SIGINT)
    assert one(urls, "SELECT status || ' ' || attempt FROM yeoul.jobs WHERE kind = 'llm.complete'") == "queued 0"


def test_the_parts_apart(start: Start, urls: DatabaseUrls) -> None:
    api = start("api", "--port", "0")
    lines = heard(api, "No worker is running")
    base = address(lines)
    worker = start("worker", "--concurrency", "3")
    heard(worker, "This worker is ready: 3 jobs at a time. Ctrl-C stops.")
    assert one(urls, "SELECT concurrency FROM yeoul.workers") == 3
    assert httpx.get(f"{base}/ready").status_code == 200
    ended(worker, signal.SIGTERM)
    assert one(urls, "SELECT count(*) FROM yeoul.workers") == 0
    ended(api, signal.SIGTERM)


def test_a_pool_says_what_it_leaves_to_nobody(start: Start) -> None:
    first = start("worker", "--kinds", "llm.complete,llm.embed")
    assert "Nobody runs playground.iteration yet." in heard(first, "This worker is ready")[-1]
    second = start("worker", "--kinds", "playground.iteration")
    assert "Nobody" not in heard(second, "This worker is ready")[-1]
    ended(first, signal.SIGTERM)
    ended(second, signal.SIGTERM)


def test_registration_that_is_closed(start: Start, environment: dict[str, str]) -> None:
    server = start("serve", "--port", "0", env=environment | {"YEOUL_REGISTRATION": "closed"})
    assert "`yeoul users add EMAIL --admin`" in heard(server, "Ctrl-C stops")[-1]


@pytest.mark.parametrize("command", ["serve", "api"])
def test_a_port_in_use(yeoul: Yeoul, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = yeoul(command, "--port", port)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == [
        f"error: Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another with --port or YEOUL_PORT."
    ]


@pytest.mark.parametrize(("level", "seen"), [("info", False), ("debug", True)])
def test_news_of_the_server_library_is_a_detail(yeoul: Yeoul, settings: Settings, level: str, *, seen: bool) -> None:
    stream = io.StringIO()
    configure(settings.model_copy(update={"log_level": level}), stream)
    library = logging.getLogger("uvicorn.error")
    library.info("Started server process")
    library.error("Exception in ASGI application")
    said = stream.getvalue()
    assert ("Started server process" in said) is seen
    assert ('"level": "info"' in said) is False
    assert "Exception in ASGI application" in said
