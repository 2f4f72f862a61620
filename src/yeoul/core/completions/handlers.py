"""Kind ``llm.complete``: one prompt, or a conversation, answered by a model."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yeoul.core.llm.schemas import Completed, CompletionRequest, Message, Parameters
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler

MAX_TEXT = 200_000


class CompleteInput(BaseModel):
    """What to ask: ``prompt``, or ``messages`` for a conversation, never both."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="default", min_length=1, max_length=200, description="`provider/model`, or `default`.")
    prompt: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=500)
    system: str | None = Field(default=None, max_length=MAX_TEXT)
    parameters: Parameters = Field(default_factory=Parameters)

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


@handler("llm.complete", timeout=1800)
async def complete(ctx: Context, given: CompleteInput) -> Completed:
    """Streams the answer as ``text`` events, then says what it used."""
    messages = given.messages or [Message(role="user", content=given.prompt or "")]
    return await ctx.complete(
        CompletionRequest(model=given.model, messages=messages, system=given.system, parameters=given.parameters)
    )
