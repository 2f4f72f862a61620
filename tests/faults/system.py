"""Real processes of one installation, to be killed, stopped and cut off; and a client that does not give up."""

import asyncio
import json
import os
import re
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg

from tests.core.events.reading import Reader
from tests.faults.nursery import Nursery
from yeoul.core.db.embedded import _postmaster

START_SECONDS = 120
LEASE_SECONDS = 2
TERMINAL = {"succeeded", "failed", "canceled"}


class Process:
    """``yeoul serve``, ``api`` or ``worker`` on a data folder."""

    def __init__(self, nursery: Nursery, data_dir: Path, *command: str, host: str = "", **settings: str) -> None:
        self.log: list[str] = []
        self.url = ""
        self._ready = threading.Event()
        environment = {
            "YEOUL_DATA_DIR": str(data_dir),
            "YEOUL_FAKE_MODELS": "true",
            "YEOUL_LOCAL_ENABLED": "false",
            "YEOUL_DEFAULT_MODEL": "fake/slow",
            "YEOUL_LEASE_SECONDS": str(LEASE_SECONDS),
            "YEOUL_DRAIN_SECONDS": "0.3",
            "YEOUL_USER_SHARE": "1",
            "YEOUL_LOG_FORMAT": "human",
            "COLUMNS": "200",
            **settings,
        }
        ours, its = os.pipe()
        try:
            self.process = nursery.start(list(command), environment, data_dir, its, host)
        finally:
            os.close(its)
        threading.Thread(target=self._read, args=[ours], daemon=True).start()

    def _read(self, said: int) -> None:
        with os.fdopen(said, errors="replace") as lines:
            for line in lines:
                self.log.append(line)
                if found := re.search(r"ready:.*(http://127\.0\.0\.1:\d+)", line):
                    self.url = found[1]
                if "ready:" in line:
                    self._ready.set()
        self._ready.set()

    def wait_ready(self) -> "Process":
        assert self._ready.wait(START_SECONDS), "it did not start:\n" + "".join(self.log[-40:])
        assert self.process.poll() is None, "it ended:\n" + "".join(self.log[-40:])
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def said(self, words: str) -> bool:
        """Whether it has logged these words."""
        return any(words in line for line in list(self.log))

    def send(self, number: signal.Signals) -> None:
        self.process.send(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal, and waits for the exit status."""
        self.send(number)
        return self.process.wait(30)


@dataclass
class System:
    """One data folder, the processes on it, and what a client asks of whichever API is up."""

    data_dir: Path
    nursery: Nursery
    processes: list[Process] = field(default_factory=list)
    api: Process | None = None

    def start(self, *command: str, host: str = "", **settings: str) -> Process:
        """Starts a process, without waiting for it. ``host``: on a machine of its own, as far as it can tell."""
        process = Process(self.nursery, self.data_dir, *command, host=host, **settings)
        self.processes.append(process)
        return process

    def serve(self, command: str = "serve", **settings: str) -> Process:
        """Starts the API, with a worker or without, and talks to it from now on."""
        self.api = self.start(command, "--port", "0", **settings).wait_ready()
        return self.api

    def worker_of(self, job_id: str) -> Process:
        """The process that runs a job."""
        ((pid,),) = self.query("SELECT w.pid FROM workers w JOIN jobs j ON j.worker_id = w.id WHERE j.id = %s", job_id)
        return next(process for process in self.processes if process.lives and process.pid == pid)

    def close(self) -> None:
        for process in self.processes:
            if process.lives:
                process.send(signal.SIGCONT)
                process.end()
        if (pid := self.postgres) is not None:
            psutil.Process(pid).kill()

    @property
    def postgres(self) -> int | None:
        """The pid of its PostgreSQL."""
        return _postmaster(self.data_dir / "postgres")

    def query(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Asks the database as its administrator."""
        password = (self.data_dir / "postgres.password").read_text()
        url = f"postgresql://postgres:{password}@/yeoul?host={self.data_dir / 'postgres'}"
        with psycopg.connect(url, autocommit=True, options="-c search_path=yeoul") as connection:
            cursor = connection.execute(statement.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    def path(self, path: str) -> str:
        assert self.api is not None
        return self.api.url + path

    async def register(self, client: httpx.AsyncClient) -> None:
        """Makes a user, and signs the client's requests as theirs."""
        body = {"email": f"{uuid4()}@example.com", "password": "a long passphrase"}
        answer = await client.post(self.path("/api/auth/register"), json=body)
        assert answer.status_code == 201, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def submit(self, client: httpx.AsyncClient, prompt: str, model: str = "fake/slow") -> str:
        return await self.submit_kind(client, "llm.complete", {"model": model, "prompt": prompt})

    async def submit_kind(self, client: httpx.AsyncClient, kind: str, given: dict[str, Any], **more: Any) -> str:
        body = {"kind": kind, "input": given, **more}
        answer = await client.post(self.path("/api/jobs"), json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def stepped(self, job_id: str) -> str:
        """What a job's stored steps said, one after the other."""
        rows = self.query("SELECT output #>> '{}' FROM steps WHERE job_id = %s ORDER BY seq_end", job_id)
        return "".join(row[0] for row in rows)

    async def job(self, client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
        answer = await client.get(self.path(f"/api/jobs/{job_id}"))
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job


class Follower:
    """Follows a job to its end, coming back with its cursor whenever the connection breaks."""

    def __init__(self, system: System, client: httpx.AsyncClient, job_id: str) -> None:
        self._system = system
        self._reader = Reader(client, "")
        self.job_id = job_id
        self.breaks = 0
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            self._reader.url = self._system.path(f"/api/jobs/{self.job_id}/events")
            try:
                ended = await self._reader.read()
            except httpx.TransportError:
                ended = False
            if ended and self.events and self.events[-1][1] in TERMINAL:
                return
            self.breaks += 1
            await asyncio.sleep(0.05)

    @property
    def events(self) -> list[tuple[int, str, Any]]:
        """(seq, type, data) of what has come."""
        found = []
        for frame in self._reader.frames:
            seq, kind, data = (line.split(b": ", 1)[1] for line in frame.split(b"\n"))
            found.append((int(seq), kind.decode(), json.loads(data)))
        return found

    @property
    def kinds(self) -> list[str]:
        """The types, text left out."""
        return [kind for _, kind, _ in self.events if kind not in {"text", "usage"}]

    def text(self) -> str:
        """What a client shows by now: it forgets what ``retrying`` says is void."""
        pieces: list[tuple[int, str]] = []
        for seq, kind, data in self.events:
            if kind == "text":
                pieces.append((seq, data["delta"]))
            elif kind == "retrying":
                pieces = [(n, piece) for n, piece in pieces if n <= data["void_after"]]
        return "".join(piece for _, piece in pieces)

    async def checked(self) -> None:
        """Its text is its row's, and only attempts that still had the job are heard."""
        ((status, output),) = self._system.query("SELECT status, output FROM jobs WHERE id = %s", self.job_id)
        assert status == self.kinds[-1]
        if status == "succeeded":
            assert self.text() == output["text"]

    async def until(self, kind: str, count: int = 1) -> None:
        """Waits until so many events of a type have come."""
        async with asyncio.timeout(30):
            while sum(event[1] == kind for event in self.events) < count:
                assert not self._task.done(), self.events
                await asyncio.sleep(0.01)

    async def to_the_end(self, seconds: float = 60) -> None:
        """Waits for the end; then checks what holds whatever happened on the way."""
        async with asyncio.timeout(seconds):
            await self._task
        assert [seq for seq, _, _ in self.events] == list(range(1, len(self.events) + 1))
        assert [kind for kind in self.kinds if kind in TERMINAL] == [self.kinds[-1]]
