"""Event publish → SSE client: 200 live streams of 10 events a second each, beside peers in the same run.

    python -m benchmarks.events

    BENCH_STREAMS=1000 python -m benchmarks.events

Every event carries the time it was said; the client, on the same two cores, reads it off the wire. The peers: a bare
ASGI relay that makes its events itself and keeps nothing (the limit), a Redis pub/sub relay fed by one asyncio process,
and the usual answer, celery tasks that publish to Redis and a FastAPI relay. Both lose whatever comes while a client is
away. A thousand streams are 10,000 events a second, which two cores may not carry: the target is a share of the limit.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import celery
import psutil
import redis.asyncio
import uvicorn
import uvloop
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.common import ROUNDS, broker, folder, median, percentile, postgres, process, settings, table, verdict
from tests.brokers import RedisServer
from tests.ports import free_port
from yeoul.app import create_app
from yeoul.core.http.logs import configure
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.worker import running

STREAMS = int(os.environ.get("BENCH_STREAMS", "200"))
EVENTS_PER_SECOND = 10
SECONDS = 8
WARM_SECONDS = 2
CARRIED = 2000
"""Events a second at which two cores still have room, so that latency says something of the system."""


class Pace(BaseModel):
    """When to begin to talk, in seconds of the clock, and for how long."""

    begin: float
    seconds: float


@handler("bench.talk")
async def talk(ctx: Context, given: Pace) -> None:
    """Says the time, ten times a second."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(given.begin - time.time() + hash(ctx.job_id) % 100 / 1000)  # streams are not in step
    until = loop.time() + given.seconds
    while loop.time() < until:
        await ctx.emit("tick", {"at": time.time()})
        await asyncio.sleep(1 / EVENTS_PER_SECOND)


def _kinds() -> Kinds:
    kinds = Kinds()
    kinds.add(talk)
    return kinds


def yeoul_api(path: str, urls: DatabaseUrls, port: int) -> None:
    """Our API process."""
    given = settings(Path(path), database_url=urls.app, service_database_url=urls.service)
    configure(given)
    uvicorn.run(create_app(given, kinds=_kinds()), port=port, log_config=None, access_log=False)


def yeoul_worker(path: str, urls: DatabaseUrls) -> None:
    """Our worker process."""

    async def main() -> None:
        given = settings(
            Path(path),
            database_url=urls.app,
            service_database_url=urls.service,
            worker_concurrency=STREAMS,
            user_share=1,
            drain_seconds=0,
        )
        configure(given)
        async with running(given, worker=True, kinds=_kinds()):
            await asyncio.Event().wait()

    uvloop.run(main())


def bare_relay(port: int) -> None:
    """No database, no broker: each response makes its own events."""

    async def stream(_: Request) -> StreamingResponse:
        async def ticks() -> AsyncIterator[str]:
            yield ": open\n\n"
            for n in range(int((SECONDS + WARM_SECONDS) * EVENTS_PER_SECOND)):
                yield f"id: {n}\nevent: tick\ndata: {json.dumps({'at': time.time()})}\n\n"
                await asyncio.sleep(1 / EVENTS_PER_SECOND)

        return StreamingResponse(ticks(), media_type="text/event-stream")

    uvicorn.run(Starlette(routes=[Route("/{n}", stream)]), port=port, log_config=None, access_log=False)


def redis_relay(port: int, url: str) -> None:
    """Subscribes to Redis for each client and relays what comes."""
    client = redis.asyncio.from_url(url, max_connections=STREAMS * 2)

    async def stream(request: Request) -> StreamingResponse:
        async def ticks() -> AsyncIterator[str]:
            async with client.pubsub() as channel:
                await channel.subscribe(f"stream:{request.path_params['n']}")
                yield ": open\n\n"
                async for message in channel.listen():
                    if message["type"] == "message":
                        yield f"event: tick\ndata: {message['data'].decode()}\n\n"

        return StreamingResponse(ticks(), media_type="text/event-stream")

    uvicorn.run(Starlette(routes=[Route("/{n}", stream)]), port=port, log_config=None, access_log=False)


def redis_talker(url: str) -> None:
    """Publishes what our handlers would say."""

    async def main() -> None:
        client = redis.asyncio.from_url(url, max_connections=STREAMS * 2)

        async def one(n: int) -> None:
            await asyncio.sleep(n % 100 / 1000)
            while True:
                await client.publish(f"stream:{n}", json.dumps({"at": time.time()}))
                await asyncio.sleep(1 / EVENTS_PER_SECOND)

        await asyncio.gather(*(one(n) for n in range(STREAMS)))

    uvloop.run(main())


def celery_talkers(url: str) -> None:
    """The usual worker: each task publishes as it goes, on a thread of its own."""
    app = celery.Celery("bench", broker=url)
    app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    client = redis.Redis.from_url(url, max_connections=STREAMS * 2)

    def talk_task(number: int) -> None:
        time.sleep(number % 100 / 1000)
        until = time.monotonic() + SECONDS + WARM_SECONDS + 4
        while time.monotonic() < until:
            client.publish(f"stream:{number}", json.dumps({"at": time.time()}))
            time.sleep(1 / EVENTS_PER_SECOND)

    app.task(talk_task, name="talk")
    app.Worker(pool="threads", concurrency=STREAMS, loglevel="ERROR", quiet=True, without_gossip=True).start()


async def read(port: int, paths: list[str], headers: str) -> tuple[list[float], float]:
    """Follows every path at once; returns milliseconds from saying to reading, and events a second, after a warm-up."""
    took: list[float] = []
    began = time.time() + WARM_SECONDS
    ends = began + SECONDS - 1

    async def one(path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode())
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + WARM_SECONDS + SECONDS):
                while line := await reader.readline():
                    at = line.find(b'"at":')
                    now = time.time()
                    if at >= 0 and began < now < ends and (said := float(line[at + 5 :].strip().rstrip(b"}"))) > began:
                        took.append((now - said) * 1000)
        except TimeoutError:
            pass
        writer.close()

    await asyncio.gather(*(one(path) for path in paths))
    return took, len(took) / (ends - began)


@dataclass(frozen=True)
class Measured:
    """One system in one round: milliseconds from saying to reading, events a second, and what its servers took."""

    took: list[float]
    rate: float
    cpu_ms: float
    """Processor time of the servers per event delivered."""
    memory_mb: float


def _family(pids: list[int]) -> list[psutil.Process]:
    return [one for pid in pids for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]


def cpu_of(pids: list[int]) -> float:
    """Seconds of processor the processes and theirs have used."""
    return float(sum(sum(one.cpu_times()[:2]) for one in _family(pids)))


async def measured(port: int, paths: list[str], pids: list[int], headers: str = "") -> Measured:
    """Reads all streams of the servers with these process ids."""
    before = cpu_of(pids)
    took, rate = await read(port, paths, headers)
    cpu = (cpu_of(pids) - before) / (rate * (SECONDS + WARM_SECONDS)) * 1000
    return Measured(took, rate, cpu, sum(one.memory_full_info().pss for one in _family(pids)) / 1e6)


async def up(port: int) -> None:
    """Waits for a server."""
    async with asyncio.timeout(30):
        while True:
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


async def yeoul(path: Path, urls: DatabaseUrls, postmaster: int) -> Measured:
    """API, worker and PostgreSQL; events are written, fenced and kept."""
    import httpx  # noqa: PLC0415

    port = free_port()
    with process(yeoul_api, str(path), urls, port) as api, process(yeoul_worker, str(path), urls) as worker:
        await up(port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            body = {"email": f"bench{port}@example.com", "password": "correct horse battery"}
            token = (await client.post("/api/auth/register", json=body)).json()["access_token"]
            head = {"Authorization": f"Bearer {token}"}
            jobs = []
            begin = time.time() + 2 + STREAMS / 50  # when all are submitted, and run
            for _ in range(STREAMS):
                pace = {"kind": "bench.talk", "input": {"begin": begin, "seconds": SECONDS + WARM_SECONDS + 4}}
                jobs.append((await client.post("/api/jobs", json=pace, headers=head)).json()["id"])
        assert api.pid
        assert worker.pid
        pids = [api.pid, worker.pid, postmaster]
        paths = [f"/api/jobs/{job}/events" for job in jobs]
        await asyncio.sleep(begin - time.time())
        found = await measured(port, paths, pids, f"Authorization: Bearer {token}\r\n")
        servers = psutil.Process(postmaster).children()
        sessions = [one for one in servers if "yeoul_" in " ".join(one.cmdline())]
        print(f"{len(sessions)} database connections for {STREAMS} streams", file=sys.stderr)
        return found


async def bare() -> Measured:
    """The limit."""
    port = free_port()
    with process(bare_relay, port) as relay:
        await up(port)
        assert relay.pid
        return await measured(port, [f"/{n}" for n in range(STREAMS)], [relay.pid])


async def pubsub(url: str) -> Measured:
    """Redis pub/sub, as lean as it gets: one asyncio process publishes everything."""
    port = free_port()
    with process(redis_relay, port, url) as relay, process(redis_talker, url) as talker:
        await up(port)
        assert relay.pid
        assert talker.pid
        return await measured(port, [f"/{n}" for n in range(STREAMS)], [relay.pid, talker.pid])


async def usual(url: str) -> Measured:
    """Celery tasks that publish to Redis, relayed by FastAPI."""
    port = free_port()
    app = celery.Celery("bench", broker=url)
    app.control.purge()
    with process(redis_relay, port, url) as relay, process(celery_talkers, url) as talkers:
        await up(port)
        for number in range(STREAMS):
            await asyncio.to_thread(app.send_task, "talk", (number,))
        assert relay.pid
        assert talkers.pid
        return await measured(port, [f"/{n}" for n in range(STREAMS)], [relay.pid, talkers.pid])


@asynccontextmanager
async def _all(path: Path, redis_url: str | None) -> AsyncGenerator[dict[str, Callable[[], Awaitable[Measured]]]]:
    async with postgres(path) as urls:
        postmaster = int((path / "postgres" / "postmaster.pid").read_text().split()[0])
        found: dict[str, Callable[[], Awaitable[Measured]]] = {
            "yeoul": lambda: yeoul(path, urls, postmaster),
            "bare relay": bare,
        }
        if redis_url is not None:
            found["redis pub/sub relay"] = lambda: pubsub(redis_url)
            found["celery + redis pub/sub + relay"] = lambda: usual(redis_url)
        yield found


async def main() -> bool:
    """Runs all in turn, several rounds, and prints medians and ratios."""
    found: dict[str, list[Measured]] = {}
    with folder() as path, broker(RedisServer, path) as redis_url:
        async with _all(path, redis_url) as systems:
            for turn in range(ROUNDS):
                for name, run in systems.items():
                    print(f"round {turn + 1} of {ROUNDS}: {name}", file=sys.stderr, flush=True)
                    found.setdefault(name, []).append(await run())
    took = {name: [ms for one in rounds for ms in one.took] for name, rounds in found.items()}
    rates = {name: median([one.rate for one in rounds]) for name, rounds in found.items()}
    table(
        f"Event publish → SSE client, {STREAMS} streams x {EVENTS_PER_SECOND} events/s",
        ["system", "p50 ms", "p95 ms", "events/s", "of bare relay", "server CPU ms per event", "servers' memory, MB"],
        [
            [
                name,
                median(took[name]),
                percentile(took[name], 0.95),
                round(rates[name]),
                rates[name] / rates["bare relay"],
                median([one.cpu_ms for one in rounds]),
                round(median([one.memory_mb for one in rounds])),
            ]
            for name, rounds in found.items()
        ],
    )
    print()
    met = [verdict("events/s of the bare relay's", rates["yeoul"] / rates["bare relay"], 0.6, at_most=False)]
    usual_rate = rates.get("celery + redis pub/sub + relay")
    if usual_rate is not None:
        met.append(verdict("events/s of the usual answer's", rates["yeoul"] / usual_rate, 1, at_most=False))
    if STREAMS * EVENTS_PER_SECOND <= CARRIED:
        met.append(verdict(f"publish → client p95, {STREAMS} streams, ms", percentile(took["yeoul"], 0.95), 40))
    return all(met)


if __name__ == "__main__":
    sys.exit(0 if uvloop.run(main()) else 1)
