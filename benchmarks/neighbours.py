"""What one user's playground costs another: the time to a first token while fifty slow iterations run beside it.

python -m benchmarks.neighbours    # BENCH_ROUNDS=3

A real `yeoul serve` with its default settings, asked over HTTP by two users. Each round asks TIMES questions alone and
as many during the other's execution, by turns, so that other work on the machine slows both.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx

from benchmarks.common import ADDRESS, ROUNDS, folder, heard, median, percentile, table, verdict, yeoul
from tests.core.runtime.helpers import until

TIMES = 20
ITERATIONS = 50
SLOW = "100000 words, 50 ms"
"""What a slow model of a provider does: twenty tokens a second, for longer than the measurement."""


@contextmanager
def served(path: Path) -> Generator[str]:
    """The address of a server of our own."""
    with yeoul(path, "serve", "--port", "0") as child:
        yield heard(child, ADDRESS)


@asynccontextmanager
async def user(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody who is signed in."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        body = {"email": f"{uuid4()}@example.com", "password": "a long passphrase"}
        token = (await client.post("/api/auth/register", json=body)).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


async def first_token(client: httpx.AsyncClient) -> float:
    """Milliseconds from asking to the first word at the client."""
    began = time.perf_counter()
    given = {"kind": "llm.complete", "input": {"model": "fake/slow", "prompt": "2 words, 1 ms"}}
    job_id = (await client.post("/api/jobs", json=given)).raise_for_status().json()["id"]
    took = 0.0
    async with client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        async for line in answer.aiter_lines():  # to the end, so that the next begins on an idle machine
            if line == "event: text" and not took:
                took = (time.perf_counter() - began) * 1000
    return took


async def crowd(client: httpx.AsyncClient) -> tuple[str, int]:
    """Begins the slow execution; its id, and how many of its iterations run at a time."""
    given = {"user_prompt": SLOW, "selected_model": "fake/slow", "iterations": ITERATIONS}
    made = (await client.post("/api/prompts/execute", json=given)).raise_for_status().json()
    execution_id = str(made["execution_id"])
    told: set[int] = set()
    async with asyncio.timeout(60), client.stream("GET", f"/api/prompts/{execution_id}/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                message = json.loads(line[6:])
                told |= {message["iteration"]} if message["type"] == "chunk" else set()
                if len(told) >= ITERATIONS * 0.8:  # one user's share of the slots
                    break
    return execution_id, len(told)


async def ended(client: httpx.AsyncClient, execution_id: str) -> bool:
    """Whether nothing of an execution runs any more."""
    return not (await client.get(f"/api/prompts/{execution_id}/status")).json()["pending"]


async def main() -> bool:
    """Prints both, and their ratio."""
    alone: list[float] = []
    beside: list[float] = []
    running = 0
    with folder() as path, served(path) as url:
        async with user(url) as mina, user(url) as other:
            await first_token(mina)
            for _ in range(ROUNDS):
                alone += [await first_token(mina) for _ in range(TIMES)]
                execution_id, running = await crowd(other)
                beside += [await first_token(mina) for _ in range(TIMES)]
                (await other.post(f"/api/prompts/{execution_id}/cancel")).raise_for_status()
                await until(partial(ended, other, execution_id))
    rows = [
        [what, median(times), percentile(times, 0.95)]
        for what, times in (("alone", alone), (f"beside {running} running, {ITERATIONS} asked", beside))
    ]
    table(f"To a first token, ms (each {TIMES * ROUNDS} questions)", ["", "median", "p95"], rows)
    print()
    return verdict("first token, beside / alone", median(beside) / median(alone), 2)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
