"""Kind ``llm.embed``: many texts turned into vectors, some at a time."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

from pydantic import BaseModel

from yeoul.core.embeddings.schemas import EmbedInput, EmbedOutput, decode, encode
from yeoul.core.llm.schemas import EmbeddingRequest
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler

TEXTS_IN_A_STEP = 64
CHARACTERS_IN_A_STEP = 32_000
"""A step is the most that a crash makes us ask, and pay, again. With the local model it is a minute or less."""


class Part(BaseModel):
    """The vectors of one step, in base64."""

    vectors: list[str]
    dimensions: int
    tokens: int | None
    usd: str | None
    model: str


@handler("llm.embed", timeout=7200)
async def embed(ctx: Context, given: EmbedInput) -> EmbedOutput:
    """Asks in steps, each kept once it is done; tells its ``progress``, then its ``usage``."""
    model = await ctx.embedding_model(given.model)  # what `default` means may change between attempts
    parts: list[Part] = []
    done = 0
    for number, texts in enumerate(_portions(given.texts)):
        parts.append(await ctx.step(f"embed {number}", partial(_some, ctx, given, model, texts), Part))
        model = parts[0].model
        done += len(texts)
        await ctx.progress(100 * done / len(given.texts))
    tokens = [part.tokens for part in parts if part.tokens is not None]
    usd = [Decimal(part.usd) for part in parts if part.usd is not None]
    vectors = [vector for part in parts for vector in part.vectors]
    made = EmbedOutput(
        vectors=vectors if given.encoding_format == "base64" else [decode(vector).tolist() for vector in vectors],
        dimensions=parts[0].dimensions,
        tokens=sum(tokens) if len(tokens) == len(parts) else None,
        usd=str(sum(usd)) if len(usd) == len(parts) else None,
        model=model,
    )
    await ctx.emit("usage", made.model_dump(exclude={"vectors"}))
    return made


async def _some(ctx: Context, given: EmbedInput, model: str, texts: list[str]) -> Part:
    request = EmbeddingRequest(model=model, texts=texts, dimensions=given.dimensions, input_type=given.input_type)
    made = await ctx.embed(request)
    return Part(
        vectors=[str(encode(vector, "base64")) for vector in made.vectors],
        dimensions=len(made.vectors[0]),
        tokens=made.tokens,
        usd=None if made.cost.usd is None else str(made.cost.usd),
        model=made.model,
    )


def _portions(texts: list[str]) -> Iterator[list[str]]:
    """The texts in portions of at most 64 and 32,000 characters; a longer text goes alone."""
    portion: list[str] = []
    size = 0
    for text in texts:
        if portion and (len(portion) == TEXTS_IN_A_STEP or size + len(text) > CHARACTERS_IN_A_STEP):
            yield portion
            portion, size = [], 0
        portion.append(text)
        size += len(text)
    yield portion
