"""What traces cost: the spans of one job, a piece of streamed text, and whole no-op jobs, with traces off and on.

All in processor time of this process, the exporter's thread included, so that a busy machine shows the same.

python -m benchmarks.traces
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from uuid import UUID

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from benchmarks.common import ROUNDS, add_user, folder, median, postgres, settings, table, verdict
from tests.conftest import process as yeoul_process
from tests.core.runtime.helpers import Given, Made, add, events
from yeoul.core.base.ids import new_id
from yeoul.core.http import traces
from yeoul.core.jobs.repository import NewJob
from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.observe import observed
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import Completed, CompletionRequest, Message, TextDelta
from yeoul.core.runtime import traced
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.telemetry import tracing
from yeoul.settings import Settings

SPANS, CHUNKS, JOBS = 3000, 100_000, 400
SCOPE: Scope = {"type": "http", "method": "POST", "path": "/api/jobs", "scheme": "http", "client": ("127.0.0.1", 1)}


@handler("bench.nothing")
async def nothing(ctx: Context, given: Given) -> Made:  # noqa: ARG001  (what a handler is given)
    """Ends at once."""
    return Made(word="")


def sink(told: Connection) -> None:
    """A collector that takes everything and keeps nothing, in a process of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told.send(server.server_address[1])
        server.serve_forever()


def route() -> Route:
    """The scripted model that answers at once."""
    provider = PROVIDERS["fake"]
    found = provider.find("echo", Settings(_env_file=None, fake_models=True))
    assert found is not None
    return Route(provider, found)


async def spans(count: int) -> float:
    """Microseconds for the request's, the submit's and the call's span of a job, without the work inside."""
    headers, where = Headers({"user-agent": "bench"}), route()
    request = CompletionRequest(model="fake/echo", messages=[Message(role="user", content="x")])
    given = Settings(_env_file=None, fake_models=True)

    async def answer() -> AsyncGenerator[TextDelta | Completed]:
        yield TextDelta("x")

    began = time.process_time()
    for _ in range(count):
        with traces.request(SCOPE, headers, quiet=False) as span:
            with traced.submit(NewJob(new_id(), "bench.nothing", {}, 5, None, 1), None):
                tracing.traceparent()
            async with aclosing(observed(answer(), where, request, given)) as items:
                async for _item in items:
                    pass
            traces.answered(span, SCOPE, 202)
    return (time.process_time() - began) / count * 1e6


async def chunks(count: int) -> float:
    """Microseconds that counting and tracing a call add to one piece of its text."""
    piece = TextDelta("x")

    async def answer() -> AsyncGenerator[TextDelta | Completed]:
        for _ in range(count):
            yield piece

    async def drain(items: AsyncGenerator[TextDelta | Completed]) -> float:
        began = time.process_time()
        async for _ in items:
            pass
        return time.process_time() - began

    request = CompletionRequest(model="fake/echo", messages=[Message(role="user", content="x")])
    given = Settings(_env_file=None, fake_models=True)
    return (await drain(observed(answer(), route(), request, given)) - await drain(answer())) / count * 1e6


async def jobs(urls: DatabaseUrls, given: Settings, owner: UUID) -> float:
    """Microseconds for one no-op job, submitted and run by one process, many at a time."""
    async with yeoul_process(given, urls, nothing, workers=1, concurrency=50) as (services, _):
        await events(services, owner, await add(services, owner, nothing))
        made: list[UUID] = []
        began = time.process_time()
        for start in range(0, JOBS, 20):
            made = await asyncio.gather(*(add(services, owner, nothing) for _ in range(min(20, JOBS - start))))
        await asyncio.gather(*(events(services, owner, job_id) for job_id in made))
        return (time.process_time() - began) / JOBS * 1e6


async def main() -> bool:
    """Off and on by turns; prints medians and ratios."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    took: dict[str, dict[str, list[float]]] = {
        what: {"off": [], "on": []}
        for what in ("request, submit and call spans", "a piece of text", "a whole no-op job")
    }
    here, there = get_context("spawn").Pipe()
    child = get_context("spawn").Process(target=sink, args=(there,), daemon=True)
    child.start()
    endpoint = f"http://127.0.0.1:{here.recv()}"
    try:
        with folder() as path:
            async with postgres(path) as urls:
                for _ in range(ROUNDS):
                    for state in ("off", "on"):
                        address = endpoint if state == "on" else None
                        given = settings(path, otlp_endpoint=address)
                        tracing.start(given)
                        took["request, submit and call spans"][state].append(await spans(SPANS))
                        took["a piece of text"][state].append(await chunks(CHUNKS))
                        await asyncio.to_thread(tracing.stop)
                        async with yeoul_process(given, urls) as (services, _workers):
                            owner = await add_user(services.database)
                        took["a whole no-op job"][state].append(await jobs(urls, given, owner))
    finally:
        child.terminate()
        child.join()
    rows = [
        [what, median(both["off"]), median(both["on"]), median(both["on"]) - median(both["off"])]
        for what, both in took.items()
    ]
    table(f"Traces, µs of processor time (median of {ROUNDS})", ["", "off", "on", "difference"], rows)
    whole = took["a whole no-op job"]
    print()
    return all(
        [
            verdict(
                "spans off / a whole job",
                median(took["request, submit and call spans"]["off"]) / median(whole["off"]),
                0.05,
            ),
            verdict("a whole job, on / off", median(whole["on"]) / median(whole["off"]), 2),
        ]
    )


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
