"""What a completion is asked."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yeoul.core.llm.schemas import Message, Parameters

MAX_TEXT = 200_000

Dialect = Literal["chat", "responses", "ai-sdk", "ag-ui"]


class Client(BaseModel):
    """What a client of another dialect calls this, given back as it came; the model never sees it."""

    model_config = ConfigDict(extra="forbid")

    dialect: Dialect
    id: str | None = Field(default=None, max_length=200, description="The client's id of the chat or the run.")
    thread: str | None = Field(default=None, max_length=200)
    background: bool = False
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)


class CompleteInput(BaseModel):
    """What to ask: ``prompt``, or ``messages`` for a conversation, never both."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="default", min_length=1, max_length=200, description="`provider/model`, or `default`.")
    prompt: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=500)
    system: str | None = Field(default=None, max_length=MAX_TEXT)
    parameters: Parameters = Field(default_factory=Parameters)
    client: Client | None = Field(default=None, description="Set where the job was asked in another API's dialect.")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self
