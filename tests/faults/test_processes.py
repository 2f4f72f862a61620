"""Real processes killed, stopped and started again while an answer is being written."""

import json
import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.fleet import Process, clean_environment, free_ports

pytestmark = pytest.mark.timeout(240)

LEASE_SECONDS = 2
QUESTION = {"kind": "llm.complete", "input": {"model": "fake/slow", "prompt": "120 words, 25 ms"}}
WORDS = "".join(f"word{n} " for n in range(1, 121))


@dataclass
class Installation:
    """A data folder, the processes on it, and a user of it."""

    folder: Path
    port: int
    processes: list[Process] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def start(self, *words: str) -> Process:
        environment = clean_environment() | {
            "YEOUL_DATA_DIR": str(self.folder),
            "YEOUL_FAKE_MODELS": "true",
            "YEOUL_LOCAL_ENABLED": "false",
            "YEOUL_LEASE_SECONDS": str(LEASE_SECONDS),
            "YEOUL_DRAIN_SECONDS": "0.2",
        }
        process = Process([*words], environment, self.folder)
        self.processes.append(process)
        process.start()
        return process

    def call(self, method: str, path: str, body: object = None) -> Any:
        answer = httpx.request(
            method, f"http://127.0.0.1:{self.port}{path}", json=body, headers=self.headers, timeout=30
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def register(self) -> None:
        made = self.call("POST", "/api/auth/register", {"email": "a@example.com", "password": "correct horse battery"})
        self.headers = {"Authorization": f"Bearer {made['access_token']}"}

    def follow(self, job_id: str, client: "Client", until: Callable[["Client"], bool]) -> None:
        """Reads events into the client from its cursor until it has seen enough, or the connection ends."""
        url = f"http://127.0.0.1:{self.port}/api/jobs/{job_id}/events"
        headers = self.headers | {"Last-Event-ID": str(client.cursor)}
        try:
            with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
                for line in answer.iter_lines():
                    client.take(line)
                    if until(client):
                        return
        except httpx.TransportError:
            return


@dataclass
class Client:
    """What a client holds: every event once, and the text that still counts."""

    cursor: int = 0
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    text: dict[int, str] = field(default_factory=dict)
    _type: str = ""
    _seq: int | None = None

    def take(self, line: str) -> None:
        name, _, value = line.partition(": ")
        if name == "id":
            self._seq = int(value)
        elif name == "event":
            self._type = value
        elif name == "data" and self._seq is not None:
            data = json.loads(value)
            self.events.append((self._seq, self._type, data))
            self.cursor = self._seq
            if self._type == "text":
                self.text[self._seq] = data["delta"]
            elif self._type == "retrying":
                self.text = {seq: part for seq, part in self.text.items() if seq <= data["void_after"]}
        elif not line:
            self._seq = None

    @property
    def types(self) -> list[str]:
        return [kind for _, kind, _ in self.events if kind not in ("text", "usage")]

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1][1] in ("succeeded", "failed", "canceled")

    def check(self, job: dict[str, Any]) -> None:
        """One unbroken log, one terminal event, and the text of the row."""
        assert [seq for seq, _, _ in self.events] == list(range(1, len(self.events) + 1))
        assert [kind for kind in self.types if kind in ("succeeded", "failed", "canceled")] == [job["status"]]
        assert "".join(self.text.values()) == job["output"]["text"] == WORDS


@pytest.fixture
def installation(tmp_path: Path) -> Generator[Installation]:
    made = Installation(tmp_path, free_ports(1)[0])
    yield made
    for process in made.processes[::-1]:
        process.stop()


def half(client: Client) -> bool:
    return len(client.text) > 10


def over(client: Client) -> bool:
    return client.ended


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_dies_in_the_middle_of_an_answer(installation: Installation, how: signal.Signals) -> None:
    serve = installation.start("serve", "--port", str(installation.port))
    installation.register()
    job_id = installation.call("POST", "/api/jobs", QUESTION)["id"]
    client = Client()
    installation.follow(job_id, client, half)
    assert not client.ended
    serve.stop(how)

    installation.start("serve", "--port", str(installation.port))  # nobody asks for the job again
    installation.follow(job_id, client, over)
    job = installation.call("GET", f"/api/jobs/{job_id}")
    client.check(job)
    assert client.types == ["started", "retrying", "started", "succeeded"]
    retrying = next(data for _, kind, data in client.events if kind == "retrying")
    killed = how == signal.SIGKILL
    assert retrying["error"]["code"] == ("worker_lost" if killed else "worker_stopping")
    assert retrying["void_after"] == 0
    assert job["attempt"] == (2 if killed else 1)  # what was given back does not count


def test_a_worker_that_comes_back_after_its_lease(installation: Installation) -> None:
    installation.start("api", "--port", str(installation.port))
    installation.register()
    first = installation.start("worker")
    job_id = installation.call("POST", "/api/jobs", QUESTION)["id"]
    client = Client()
    installation.follow(job_id, client, half)
    os.kill(first.pid, signal.SIGSTOP)
    installation.start("worker")
    installation.follow(job_id, client, lambda c: c.types[-1:] == ["started"] and c.types.count("started") > 1)
    os.kill(first.pid, signal.SIGCONT)
    installation.follow(job_id, client, over)
    job = installation.call("GET", f"/api/jobs/{job_id}")
    client.check(job)
    assert client.types == ["started", "retrying", "started", "succeeded"]
    # The one that was away holds nothing any more, and works on.
    again = installation.call("POST", "/api/jobs", QUESTION)["id"]
    other = Client()
    installation.follow(again, other, over)
    other.check(installation.call("GET", f"/api/jobs/{again}"))


def test_a_database_that_dies_under_everybody(installation: Installation) -> None:
    installation.start("serve", "--port", str(installation.port))
    installation.register()
    job_id = installation.call("POST", "/api/jobs", QUESTION)["id"]
    client = Client()
    installation.follow(job_id, client, half)
    postmaster = int((installation.folder / "postgres/postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not client.ended and time.monotonic() < deadline:
        installation.follow(job_id, client, over)
    client.check(installation.call("GET", f"/api/jobs/{job_id}"))
