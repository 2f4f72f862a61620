"""Kind ``llm.complete``: one prompt, or a conversation, answered by a model."""

from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.llm.schemas import Completed, CompletionRequest, Message
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler

__all__ = ["CompleteInput", "complete"]


@handler("llm.complete", timeout=1800)
async def complete(ctx: Context, given: CompleteInput) -> Completed:
    """Streams the answer as ``text`` events, then says what it used."""
    messages = given.messages or [Message(role="user", content=given.prompt or "")]
    return await ctx.complete(
        CompletionRequest(model=given.model, messages=messages, system=given.system, parameters=given.parameters)
    )
