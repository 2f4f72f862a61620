"""What a completion is asked."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yeoul.core.base.json_schema import KeptJsonSchema
from yeoul.core.llm.images import Images
from yeoul.core.llm.schemas import CompletionRequest, Message, Parameters

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
    format: dict[str, str | bool | None] = Field(
        default_factory=dict, max_length=3, description="What OpenAI's clients say of a JSON Schema beside it."
    )


class CompleteInput(BaseModel):
    """What to ask: ``prompt``, or ``messages`` for a conversation, never both."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="default", min_length=1, max_length=200, description="`provider/model`, or `default`.")
    prompt: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=500)
    system: str | None = Field(default=None, max_length=MAX_TEXT)
    parameters: Parameters = Field(default_factory=Parameters)
    response_schema: KeptJsonSchema | None = Field(
        default=None,
        description="A JSON Schema, or its text: the answer is JSON that fits it. For models with `json_schema`.",
    )
    images: Images = Field(default_factory=list, description="Shown with the last message of the user.")
    client: Client | None = Field(default=None, description="Set where the job was asked in another API's dialect.")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self

    @property
    def attached_bytes(self) -> int:
        """How much of the input is images: not counted where inputs have a limit, for images have their own."""
        return sum(len(image.data) + 2 for image in self.images) * 4 // 3

    def question(self) -> CompletionRequest:
        """What the gateway is asked."""
        return CompletionRequest(
            model=self.model,
            messages=self.messages or [Message(role="user", content=self.prompt or "")],
            system=self.system,
            parameters=self.parameters,
            response_schema=self.response_schema,
            images=self.images,
        )
