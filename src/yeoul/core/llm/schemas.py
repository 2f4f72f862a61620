"""What a model is asked and what it answers."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yeoul.core.base.json_schema import JsonSchema
from yeoul.core.llm.images import Image, Images

DEFAULT_MODEL = "default"
"""The model id that stands for whatever the installation's settings say."""

MOST_IN_A_BATCH = 32

FinishReason = Literal["stop", "length", "other"]
"""Why an answer ended: the model was done, it reached ``max_tokens`` or the end of its context, or something else."""


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=2_000_000)


def _with_a_question(messages: list[Message]) -> list[Message]:
    if all(message.role == "system" for message in messages):
        raise ValueError("there is nothing to answer: add a message with the role user")
    return messages


Messages = Annotated[list[Message], Field(min_length=1, max_length=1000), AfterValidator(_with_a_question)]
"""A conversation: 1 to 1000 turns, not all of them the system's."""

Text = Annotated[str, Field(max_length=2_000_000)]
"""A prompt or a system prompt."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Parameters(BaseModel):
    """How the model shall answer. What is left out is the model's own choice; a name not here is refused.

    A model takes only some of them: ``ModelInfo.parameters`` says which, the others do nothing.
    """

    model_config = ConfigDict(extra="forbid")

    temperature: float | None = Field(default=None, ge=0, le=2, description="How varied the answer is: 0 is the least.")
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="Longest answer, in tokens.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Sample only from the likeliest share of tokens.")
    seed: int | None = Field(default=None, ge=0, lt=2**31, description="The same seed gives the same answer, mostly.")
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]] | None, BeforeValidator(_listed)] = Field(
        default=None,
        min_length=1,
        max_length=4,
        description="Texts at which the answer ends; one or a list of up to 4.",
    )
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, description="Above 0: prefer new subjects.")
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2, description="Above 0: avoid repetition.")


def _somewhere_to_show(images: Sequence[Image], messages: Sequence[Message] | None) -> None:
    if images and messages and all(message.role != "user" for message in messages):
        raise ValueError("images need a message with the role user, which they are shown with")


class CompletionRequest(BaseModel):
    """A conversation for a model to continue. ``model`` is a ``provider/model`` id or ``default``."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=200)
    messages: Messages
    system: Text | None = None
    parameters: Parameters = Field(default_factory=Parameters)
    response_schema: JsonSchema | None = Field(
        default=None, description="A JSON Schema: the answer is JSON that fits it. For models with `json_schema`."
    )
    images: Images = Field(default_factory=list, description="Shown with the last message of the user.")

    @model_validator(mode="after")
    def _shown(self) -> Self:
        _somewhere_to_show(self.images, self.messages)
        return self

    @classmethod
    def ask(
        cls,
        prompt: str,
        *,
        model: str = DEFAULT_MODEL,
        system: str | None = None,
        parameters: Parameters | None = None,
        response_schema: dict[str, Any] | None = None,
        images: Sequence[Image] = (),
    ) -> Self:
        """A conversation of one question."""
        return cls(
            model=model,
            messages=[Message(role="user", content=prompt)],
            system=system,
            parameters=parameters or Parameters(),
            response_schema=response_schema,
            images=list(images),
        )


class Usage(BaseModel):
    """Tokens of one call, as the provider counted them."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int | None = Field(
        default=None,
        description="Of the input tokens, those from the provider's cache; null: none, or it does not say.",
    )


class Cost(BaseModel):
    """What one call cost in US dollars: 0 for a model of our own, null when nobody knows the price."""

    usd: Decimal | None = None


MOST_TEXTS = 2048
LONGEST_TEXT = 200_000

InputType = Literal["query", "passage", "document"]
"""What a text is to be used for: a question to search with, or something to be found (``document`` is another word for
``passage``). Models that make no difference ignore it."""


class EmbeddingRequest(BaseModel):
    """Texts to turn into vectors, 1 to 2,048 of them."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=200)
    texts: list[Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]] = Field(
        min_length=1, max_length=MOST_TEXTS
    )
    dimensions: int | None = Field(default=None, ge=1, le=16_384)
    input_type: InputType | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of some texts, in their order; each an ``array`` of 32-bit floats. ``tokens``: null when unknown."""

    vectors: "list[array[float]]"
    tokens: int | None
    cost: Cost
    model: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of an answer."""

    text: str


class Completed(BaseModel):
    """A whole answer; the last item of every stream that ends well."""

    text: str
    finish_reason: FinishReason
    usage: Usage | None = Field(description="Null when the provider did not say.")
    cost: Cost
    model: str = Field(description="The id that answered; never `default`.")
    time_ms: int = Field(description="From the start of the call to its end, retries included.")
    first_token_ms: int | None = Field(description="To the first piece of text; null when there was none.")
    extra: dict[str, Any] = Field(default_factory=dict, description="What this provider adds, such as `citations`.")


class Prices(BaseModel):
    """US dollars per million tokens, as listed for short prompts at the ordinary tier."""

    input: Decimal
    output: Decimal


Capability = Literal["text", "stream", "reasoning", "search", "images", "json_schema", "embeddings"]
"""``text`` in and out, ``stream``: in pieces as it is made, ``reasoning``: thinks first, ``search``: looks things up
on the web and says where it found them, ``images``: reads them, ``json_schema``: answers JSON that fits one,
``embeddings``: text in, a vector out."""


class Trouble(BaseModel):
    """Why a model takes no calls for now, or why jobs wait for it. All times are in seconds."""

    model: str = Field(description="`provider/model`, or a provider whose limit is used up.")
    breaker: Literal["closed", "half-open", "open"] = Field(
        description="`open`: its provider failed several times in a row; `half-open`: it is being tried again."
    )
    retry_seconds: float = Field(description="When it is called again; 0: now.")
    held_seconds: float = Field(description="For how long its provider asked not to be called.")
    waiting: int = Field(description="Jobs that wait for it.")


class ModelInfo(BaseModel):
    """One model of the catalogue."""

    id: str = Field(description="`provider/model`: what a request names.")
    provider: str
    name: str
    context: int | None = Field(description="Tokens the question and the answer may have together; null: unknown.")
    prices: Prices | None = Field(description="Null: unknown. A local model costs 0.")
    capabilities: list[Capability]
    parameters: list[str] = Field(description="The parameters this model honours.")
    available: bool
    reason: str | None = Field(description="Why it cannot be used, and what to do about it.")
    default: bool = Field(default=False, description="Whether the id `default` means this model.")
    dimensions: int | None = Field(default=None, description="Numbers in its vectors, of a model for embeddings.")
    own_key: bool = Field(default=False, description="Whether your calls to it use the key you stored.")
    trouble: Trouble | None = Field(default=None, description="Null: it takes calls, and nobody waits for it.")


class Models(BaseModel):
    """The catalogue. ``default`` is the id that `default` stands for, ``default_embedding`` for vectors."""

    models: list[ModelInfo]
    default: str | None
    default_embedding: str | None = None


class Generate(BaseModel):
    """A question for a model: ``prompt``, or ``messages`` for a whole conversation."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    model: str = Field(
        default=DEFAULT_MODEL, min_length=1, max_length=200, validation_alias=AliasChoices("model", "selected_model")
    )
    prompt: Text | None = Field(default=None, min_length=1, validation_alias=AliasChoices("prompt", "user_prompt"))
    messages: Messages | None = None
    system: Text | None = Field(default=None, validation_alias=AliasChoices("system", "system_prompt"))
    parameters: Parameters = Field(default_factory=Parameters)
    response_schema: JsonSchema | None = Field(default=None, description="The answer is JSON that fits it.")
    images: Images = Field(default_factory=list, description="Shown with the last message of the user.")
    stream: bool = False

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        _somewhere_to_show(self.images, self.messages)
        return self

    def question(self) -> CompletionRequest:
        """What the gateway is asked."""
        messages = self.messages or [Message(role="user", content=self.prompt or "")]
        return CompletionRequest(
            model=self.model,
            messages=messages,
            system=self.system,
            parameters=self.parameters,
            response_schema=self.response_schema,
            images=self.images,
        )


class Tokens(BaseModel):
    """Tokens of one call."""

    input: int
    output: int
    total: int
    cached: int | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Of the input, from the provider's cache; absent: none, or it does not say.",
    )


class Generated(BaseModel):
    """An answer. ``time`` is in seconds, ``cost`` in US dollars (null: unknown)."""

    text: str
    tokens: Tokens | None
    time: float
    model: str
    finish_reason: FinishReason
    cost: Decimal | None
    extra: dict[str, Any]

    @classmethod
    def of(cls, done: Completed) -> Self:
        """The answer of a call that ended well."""
        usage = done.usage
        tokens = None
        if usage is not None:
            total = usage.input_tokens + usage.output_tokens
            tokens = Tokens(
                input=usage.input_tokens, output=usage.output_tokens, total=total, cached=usage.cached_input_tokens
            )
        return cls(
            text=done.text,
            tokens=tokens,
            time=done.time_ms / 1000,
            model=done.model,
            finish_reason=done.finish_reason,
            cost=done.cost.usd,
            extra=done.extra,
        )


class Failed(BaseModel):
    """A question of a batch that got no answer: ``error`` is a problem document."""

    error: dict[str, Any]


class Batch(BaseModel):
    """Up to 32 questions; ``stream`` does nothing here."""

    model_config = ConfigDict(extra="forbid")

    requests: list[Generate] = Field(min_length=1, max_length=MOST_IN_A_BATCH)


class BatchResult(BaseModel):
    """The answers, in the order of the questions."""

    results: list[Generated | Failed]
