"""Processor time per streamed chunk: our gateway, and a whole job, beside the openai SDK in the same process.

    python -m benchmarks.chunks

All read the same answer of a scripted OpenAI-compatible server in a process of its own.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import openai
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.common import ROUNDS, add_user, folder, median, postgres, process, settings, table
from benchmarks.events import up
from tests.ports import free_port
from yeoul.core.completions.handlers import CompleteInput, complete
from yeoul.core.jobs import service
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.schemas import CompletionRequest, TextDelta
from yeoul.core.runtime.submit import submit
from yeoul.worker import running

CHUNKS = 3000


def server(port: int) -> None:
    """Answers every question with the same 3,000 words, a chunk each."""

    def line(choice: dict[str, object], usage: dict[str, int] | None = None) -> str:
        chunk = {
            "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "words",
            "choices": [choice] if choice else [], "usage": usage,
        }  # fmt: skip
        return f"data: {json.dumps(chunk)}\n\n"

    async def chat(_: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            for n in range(CHUNKS):
                yield line({"index": 0, "delta": {"role": "assistant", "content": f"word{n} "}, "finish_reason": None})
                if n % 50 == 0:
                    await asyncio.sleep(0.001)
            yield line({"index": 0, "delta": {}, "finish_reason": "stop"})
            yield line({}, {"prompt_tokens": 1, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 1})
            yield "data: [DONE]\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    uvicorn.run(app, port=port, log_config=None, access_log=False)


async def sdk(port: int) -> int:
    """The SDK alone."""
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="words",
            messages=[{"role": "user", "content": "go"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return sum([1 async for chunk in stream if chunk.choices and chunk.choices[0].delta.content])


async def measured(run: Callable[[], Awaitable[int]]) -> float:
    """Microseconds of this process's processor time per chunk."""
    before = time.process_time()
    chunks = await run()
    assert chunks == CHUNKS
    return (time.process_time() - before) / CHUNKS * 1e6


async def main() -> bool:
    """Runs all in turn, several rounds after one that warms up, and prints medians and ratios."""
    port = free_port()
    costs: dict[str, list[float]] = {}
    with folder() as path, process(server, port):
        await up(port)
        async with postgres(path) as urls:
            more = {"compatible_base_url": f"http://127.0.0.1:{port}/v1", "compatible_models": ["words"]}
            given = settings(
                Path(path), database_url=urls.app, service_database_url=urls.service, drain_seconds=0, **more
            )
            gateway = Gateway(given)
            async with running(given, worker=True) as (services, _):
                owner = await add_user(services.database)

                async def gated() -> int:
                    request = CompletionRequest.ask("go", model="compatible/words")
                    async with aclosing(gateway.stream(request)) as items:
                        return sum([1 async for item in items if isinstance(item, TextDelta)])

                async def job() -> int:
                    async with services.database.as_user(owner) as session:
                        asked = CompleteInput(model="compatible/words", prompt="go")
                        job_id = (await submit(session, services, complete, asked)).id
                    async with services.database.as_user(owner) as session:
                        watch = await service.watch(session, services.events, job_id, 0)
                    text = ""
                    async with watch.subscription:
                        async for batch in watch.subscription.batches():
                            text += "".join(json.loads(event.data)["delta"] for event in batch if event.type == "text")
                    return text.count("word")

                runs = {"openai SDK": lambda: sdk(port), "gateway": gated, "whole job, written and read back": job}
                for turn in range(ROUNDS + 1):
                    for name, run in runs.items():
                        cost = await measured(run)
                        if turn:
                            costs.setdefault(name, []).append(cost)
            await gateway.aclose()
    peer = median(costs["openai SDK"])
    table(
        f"Processor time per streamed chunk ({CHUNKS} chunks, median of {ROUNDS})",
        ["", "µs per chunk", "of openai SDK"],
        [[name, median(cost), median(cost) / peer] for name, cost in costs.items()],
    )
    return True


if __name__ == "__main__":
    sys.exit(0 if uvloop.run(main()) else 1)
