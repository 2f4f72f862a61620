"""Jobs of several sorts that can be checked afterwards: all they say names the attempt that said it.

A product of its own: ``offered`` makes a folder that, on Python's path, offers it to every ``yeoul`` process.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from pydantic import BaseModel, Field

from yeoul.core.base.errors import InvalidInput, Unavailable
from yeoul.core.jobs.kinds import Backoff
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.product import Product

SOON = Backoff(first=0.1, longest=0.4)


class Given(BaseModel):
    """So many words, with so many milliseconds before each; ``times``: how often it fails, or how many steps it has."""

    words: int = Field(default=10, ge=0, le=10_000)
    ms: float = Field(default=20, ge=0)
    times: int = Field(default=1, ge=0, le=20)
    backoff: float = Field(default=0, ge=0)


class Said(BaseModel):
    """All that was streamed."""

    text: str


async def _say(ctx: Context, given: Given) -> str:
    nonce = token_hex(4)
    said = []
    for number in range(1, given.words + 1):
        await asyncio.sleep(given.ms / 1000)
        said.append(f"{nonce}.{number} ")
        await ctx.text(said[-1])
    return "".join(said)


@handler("faults.text", backoff=SOON)
async def text(ctx: Context, given: Given) -> Said:
    return Said(text=await _say(ctx, given))


@handler("faults.steps", backoff=SOON)
async def steps(ctx: Context, given: Given) -> Said:
    said = [await ctx.step(f"step{number}", lambda: _say(ctx, given), str) for number in range(given.times)]
    return Said(text="".join(said))


@handler("faults.retry", backoff=SOON)
async def retry(ctx: Context, given: Given) -> Said:
    said = await _say(ctx, given)
    if ctx.attempt <= given.times:
        raise Unavailable("as it was told", retry_after=int(given.backoff) or None)
    return Said(text=said)


@handler("faults.fail")
async def fail(ctx: Context, given: Given) -> Said:
    await _say(ctx, given)
    raise InvalidInput("as it was told")


@handler("faults.nothing", backoff=SOON)
async def nothing(ctx: Context, given: Given) -> Said:
    return Said(text="")


@handler("faults.deaf", backoff=SOON)
async def deaf(ctx: Context, given: Given) -> Said:
    """Does not let itself be cancelled."""
    talking = asyncio.ensure_future(_say(ctx, given))
    while not talking.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([talking])
    return Said(text=talking.result())


product = Product("faults", kinds=(text, steps, retry, fail, nothing, deaf))


def offered(folder: Path) -> Path:
    """Makes such a folder."""
    made = folder / "faults-0.dist-info"
    made.mkdir(parents=True, exist_ok=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: faults\nVersion: 0\n")
    (made / "entry_points.txt").write_text("[yeoul.products]\nfaults = tests.faults.kinds:product\n")
    return folder
