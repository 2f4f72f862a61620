"""Clients that do not give up: they submit jobs under a key, follow, poll and cancel them, whatever breaks."""

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.core.runtime.helpers import until

TERMINAL = {"succeeded", "failed", "canceled"}
PATIENCE = 20_000
"""Tries of one request."""


@dataclass
class Asked:
    """One job as its client knows it."""

    kind: str
    expected: frozenset[str]
    """The statuses it may end with, unless it was canceled."""
    id: str = ""
    events: list[tuple[int, str, str]] = field(default_factory=list)
    """What came over the stream: seq, type, data as it was sent. Empty for a job that is polled."""
    followed: bool = False
    breaks: int = 0
    wrong: list[str] = field(default_factory=list)
    """What a client must never see."""
    cancel_answer: dict[str, Any] | None = None


@dataclass
class Signals:
    """Lets a fault wait for something that some job says."""

    _waiting: dict[str, list[asyncio.Future[str]]] = field(default_factory=lambda: defaultdict(list))

    def say(self, kind: str, job_id: str) -> None:
        for waiter in self._waiting.pop(kind, []):
            if not waiter.done():
                waiter.set_result(job_id)

    async def next(self, kind: str, seconds: float) -> str | None:
        """The job that says it next; null when none does for so long."""
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[kind].append(waiter)
        with suppress(TimeoutError):
            return await asyncio.wait_for(waiter, seconds)
        return None


class Load:
    """Several users, each with so many jobs under way at a time."""

    def __init__(self, addresses: list[str], seed: int, *, users: int = 3, each: int = 5) -> None:
        self._addresses = addresses
        self._rng = random.Random(seed)
        self._users = users
        self._each = each
        self._enough = asyncio.Event()
        self._headers: dict[str, str] = {}
        self.jobs: list[Asked] = []
        self.signals = Signals()
        self.retries = 0
        """Requests that had to be sent again."""
        self.ended = 0
        """Jobs that have ended, as their clients saw."""
        self.ended_at = 0.0
        """When a client last saw a job end."""
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(20, connect=2), limits=httpx.Limits(max_connections=200))

    async def run(self) -> None:
        """Submits and watches until ``finish``, and then to the end of every job."""
        async with self._client, asyncio.TaskGroup() as group:
            for _ in range(self._users):
                headers = await self._register()
                for _ in range(self._each):
                    group.create_task(self._one_after_another(headers))

    def finish(self) -> None:
        """Begins no more jobs."""
        self._enough.set()

    async def _register(self) -> dict[str, str]:
        while True:
            body = {"email": f"{uuid4().hex}@example.com", "password": "a long passphrase"}
            answer = await self._ask("POST", "/api/auth/register", {}, body, good=(201, 409))
            if "access_token" in answer:
                return {"Authorization": f"Bearer {answer['access_token']}"}

    async def _one_after_another(self, headers: dict[str, str]) -> None:
        while not self._enough.is_set():
            asked, body = self._draw()
            key = {"Idempotency-Key": uuid4().hex}
            answer = await self._ask("POST", "/api/jobs", headers | key, body, good=(202,))
            asked.id = answer["id"]
            self.jobs.append(asked)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(asked, headers) if asked.followed else self._poll(asked, headers))
                if self._rng.random() < 0.12:
                    group.create_task(self._cancel(asked, headers, self._rng.choice(("", "", "started", "text"))))
            self.ended += 1
            self.ended_at = time.time()

    def _draw(self) -> tuple[Asked, dict[str, Any]]:
        rng = self._rng
        kind = rng.choices(
            ("faults.text", "faults.steps", "faults.retry", "faults.fail", "faults.nothing", "llm.complete"),
            (6, 4, 3, 1, 3, 4),
        )[0]
        words, ms, attempts = rng.randint(3, 14), rng.choice((20, 60, 120)), 25
        given: dict[str, Any] = {"words": words, "ms": ms}
        expected = {"succeeded"}
        match kind:
            case "faults.steps":
                given["times"] = rng.randint(1, 4)
            case "faults.retry":
                given |= {"times": rng.randint(1, 2), "words": 3}
            case "faults.fail":
                given["words"], expected = 2, {"failed"}
            case "llm.complete":
                given = {"prompt": f"{words} words, {ms} ms"}
                expected = {"succeeded", "failed"}  # its model may be down for longer than it tries
        if rng.random() < 0.1:
            attempts, expected = 2, {"succeeded", "failed"}
        body = {"kind": kind, "input": given, "max_attempts": attempts, "priority": rng.choice((3, 5, 7))}
        return Asked(kind, frozenset(expected), followed=rng.random() < 0.75), body

    async def _ask(
        self, method: str, path: str, headers: dict[str, str], body: Any = None, *, good: tuple[int, ...]
    ) -> dict[str, Any]:
        """Asks one API or the other until one of them answers."""
        for tries in range(PATIENCE):
            address = self._addresses[(tries + id(path)) % len(self._addresses)]
            try:
                answer = await self._client.request(method, address + path, json=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in good:
                found: dict[str, Any] = answer.json()
                return found
            passing = answer is None or answer.status_code in {409, 429, 500, 502, 503, 504}
            assert passing, f"{method} {path}: {answer and answer.text}"
            if answer is not None and answer.status_code == 500:
                raise AssertionError(f"{method} {path}: {answer.text}")
            self.retries += 1
            await asyncio.sleep(0.1)
        raise AssertionError(f"{method} {path}: nobody answers")

    async def _poll(self, asked: Asked, headers: dict[str, str]) -> None:
        ended: dict[str, Any] | None = None
        while ended is None:
            answer = await self._ask("GET", f"/api/jobs/{asked.id}", headers, good=(200,))
            if answer["status"] in TERMINAL:
                ended = answer
            else:
                await asyncio.sleep(0.2)

    async def _cancel(self, asked: Asked, headers: dict[str, str], when: str) -> None:
        if when and asked.followed:
            await until(lambda: any(kind == when or kind in TERMINAL for _, kind, _ in asked.events), seconds=600)
        asked.cancel_answer = await self._ask("POST", f"/api/jobs/{asked.id}/cancel", headers, good=(200, 202))

    async def _follow(self, asked: Asked, headers: dict[str, str]) -> None:
        turn = self._rng.randrange(2)
        while not (asked.events and asked.events[-1][1] in TERMINAL):
            turn += 1
            cursor = {"Last-Event-ID": str(asked.events[-1][0])} if asked.events else {}
            url = f"{self._addresses[turn % len(self._addresses)]}/api/jobs/{asked.id}/events"
            with suppress(httpx.TransportError):
                async with self._client.stream("GET", url, headers=headers | cursor) as answer:
                    if answer.status_code == 204:
                        asked.wrong.append("a stream that is over before its terminal event came")
                        return
                    if answer.status_code == 200:
                        await self._read(asked, answer)
                    elif answer.status_code not in {502, 503}:
                        raise AssertionError(f"{url}: {(await answer.aread()).decode()}")
            if not (asked.events and asked.events[-1][1] in TERMINAL):
                asked.breaks += 1
                await asyncio.sleep(0.1)

    async def _read(self, asked: Asked, answer: httpx.Response) -> None:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
                continue
            if "event" in fields:
                self._take(asked, fields)
            fields = {}

    def _take(self, asked: Asked, fields: dict[str, str]) -> None:
        kind = fields["event"]
        if "id" not in fields:
            if kind == "reset":
                asked.wrong.append("a reset, though nothing was restored")
            return
        seq, last = int(fields["id"]), asked.events[-1][0] if asked.events else 0
        if seq != last + 1:
            asked.wrong.append(f"event {seq} after {last}")
        asked.events.append((seq, kind, fields["data"]))
        self.signals.say(kind, asked.id)


def void(events: list[tuple[int, str, str]], read: Callable[[str], Any] = json.loads) -> str:
    """The text that is valid at the end of a stream."""
    pieces: list[tuple[int, str]] = []
    for seq, kind, data in events:
        if kind == "text":
            pieces.append((seq, read(data)["delta"]))
        elif kind == "retrying":
            after = read(data)["void_after"]
            pieces = [(n, piece) for n, piece in pieces if n <= after]
    return "".join(piece for _, piece in pieces)
