"""Writing a job's events at random, and reading them over HTTP with interruptions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

import httpx
from pydantic import BaseModel

from tests.core.runtime.helpers import QUICK, Made
from yeoul.core.base.errors import Unavailable
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler


class Step(BaseModel):
    """Something a job does: say so many characters, emit an event, finish a step, wait so many ms, or fail once.

    ``gate``: wait until the test opens it.
    """

    do: Literal["text", "emit", "step", "wait", "fail", "gate"]
    n: int = 1


class Script(BaseModel):
    """What a job does, in order. ``ends``: how the last attempt ends."""

    steps: list[Step] = []
    ends: Literal["well", "badly"] = "well"


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Event] = WeakKeyDictionary()


def gate() -> asyncio.Event:
    """What holds back the jobs of the running test."""
    return _gates.setdefault(asyncio.get_running_loop(), asyncio.Event())


@handler("test.script", backoff=QUICK, max_attempts=4)
async def script(ctx: Context, given: Script) -> Made:
    failures = 0
    for number, step in enumerate(given.steps):
        if step.do == "fail":
            failures += 1
            if ctx.attempt == failures:
                raise Unavailable("as the script says")
        else:
            await _do(ctx, number, step)
    if given.ends == "badly":
        raise ValueError("as the script says")
    return Made(word="end")


async def _do(ctx: Context, number: int, step: Step) -> None:
    async def say() -> str:
        await ctx.text(f"step {number}")
        return "said"

    match step.do:
        case "text":
            await ctx.text(f"{number}·{'가' * step.n}")
        case "emit":
            await ctx.emit("component", {"number": number, "list": list(range(step.n))})
        case "step":
            await ctx.step(str(number), say)
        case "gate":
            await gate().wait()
        case "wait":
            await asyncio.sleep(step.n / 1000)


def split(data: bytes) -> list[bytes]:
    """The whole frames at the beginning of a stream, comments left out."""
    *frames, _ = data.split(b"\n\n")
    return [frame for frame in frames if not frame.startswith(b":")]


@dataclass
class Reader:
    """Reads a job's stream, remembering where it was."""

    client: httpx.AsyncClient
    url: str
    frames: list[bytes] = field(default_factory=list)
    """Of the log; what is for watchers alone has no id and is left out."""

    @property
    def cursor(self) -> int:
        return int(self.frames[-1].split(b"\n", 1)[0].removeprefix(b"id: ")) if self.frames else 0

    async def read(self, most: int | None = None) -> bool:
        """Reads on from where it was, at most so many bytes; whether the stream has ended."""
        rest, left = b"", most
        headers = {"Last-Event-ID": str(self.cursor)} if self.cursor % 2 else {}
        params = {} if self.cursor % 2 else {"after": self.cursor}
        async with self.client.stream("GET", self.url, headers=headers, params=params) as answer:
            if answer.status_code == 204:
                return True
            assert answer.status_code == 200, await answer.aread()
            async with aclosing(self._chunks(answer)) as chunks:
                async for chunk in chunks:
                    taken = chunk if left is None else chunk[:left]
                    *whole, rest = (rest + taken).split(b"\n\n")
                    self.frames += [frame for frame in whole if frame.startswith(b"id: ")]
                    if left is not None and (left := left - len(taken)) <= 0:
                        return False
        return True

    @staticmethod
    async def _chunks(answer: httpx.Response) -> AsyncGenerator[bytes]:
        async for chunk in answer.aiter_raw():
            yield chunk
