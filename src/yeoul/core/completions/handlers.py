"""Kind ``llm.complete``: one prompt, or a conversation, answered by a model."""

from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.llm.schemas import Completed
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler

__all__ = ["CompleteInput", "complete"]


@handler("llm.complete", timeout=1800)
async def complete(ctx: Context, given: CompleteInput) -> Completed:
    """Streams the answer as ``text`` events, then says what it used."""
    return await ctx.complete(given.question())
