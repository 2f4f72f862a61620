"""What clients of each dialect may ask, read into the one thing a job is asked: ``CompleteInput``."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yeoul.core.completions import parts
from yeoul.core.completions.errors import InvalidParameter, UnsupportedParameter, refuse
from yeoul.core.completions.schemas import Client, CompleteInput
from yeoul.core.llm.schemas import DEFAULT_MODEL, Messages

# What changes nothing about the answer here, whatever its value. `store: false` too: jobs are always kept, for as long
# as the installation keeps jobs.
_HARMLESS = frozenset(
    {
        "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "safety_identifier", "store", "user",
    }
)  # fmt: skip

# What may be said only as what it is here anyway.
_CHAT_NEUTRAL: dict[str, Sequence[Any]] = {
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "service_tier": ("auto", "default"),
    "tool_choice": ("auto", "none"),
    "top_logprobs": (0,),
}
_RESPONSES_NEUTRAL: dict[str, Sequence[Any]] = {
    "service_tier": ("auto", "default"),
    "tool_choice": ("auto", "none"),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
_STREAM_NEUTRAL: dict[str, Sequence[Any]] = {"include_obfuscation": (False, True)}


_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def _role(message: Mapping[str, Any], at: str) -> str:
    role = message.get("role")
    if role not in _ROLES:
        raise UnsupportedParameter(f"{at}.role", f"Roles are {', '.join(_ROLES)}.")
    return _ROLES[role]


class _Question(BaseModel):
    """One conversation; checks it as the model will."""

    messages: Messages


def _question(
    at: str,
    messages: list[dict[str, str]],
    *,
    model: str,
    parameters: Mapping[str, Any],
    client: Client,
    system: str | None = None,
    **more: Any,  # noqa: ANN401  (what a dialect may ask beside: images, response_schema)
) -> CompleteInput:
    try:
        _Question.model_validate({"messages": messages})
    except ValidationError as error:
        raise InvalidParameter(at, error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    fields: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "parameters": {name: value for name, value in parameters.items() if value is not None},
        "client": client.model_dump(exclude_defaults=True),
        **{name: value for name, value in more.items() if value},
    }
    if system:
        fields["system"] = system
    try:
        return CompleteInput.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        loc = [str(part) for part in first["loc"]]
        raise InvalidParameter(loc[-1] if loc else at, first["msg"].removeprefix("Value error, ")) from None


class _OpenAI(BaseModel):
    """What OpenAI's two dialects share. Unsupported parameters are refused by name, null ones count as left out."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(default=DEFAULT_MODEL, description="`provider/model`, or `default`.")
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    metadata: dict[str, str] | None = Field(default=None, max_length=16)


class ChatRequest(_OpenAI):
    """A chat completion."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=500)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: dict[str, Any] | None = Field(default=None, description="A JSON Schema for the answer.")
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the stream's last chunk shall have the tokens."""
        return bool((self.stream_options or {}).get("include_usage"))

    def question(self) -> CompleteInput:
        """What the job is asked; raises ``UnsupportedParameter`` and ``InvalidParameter``."""
        refuse(self.model_extra or {}, _HARMLESS, _CHAT_NEUTRAL)
        refuse(self.stream_options or {}, {"include_usage"}, _STREAM_NEUTRAL, at="stream_options.")
        schema, said = parts.form(self.response_format, "response_format", nested=True)
        messages = []
        images: list[Any] = []
        for n, message in enumerate(self.messages):
            at = f"messages[{n}]"
            refuse(message, {"role", "content"}, at=f"{at}.")
            role = _role(message, at)
            last = role == "user" and not any(later.get("role") == "user" for later in self.messages[n + 1 :])
            content = parts.without_images(message.get("content"), f"{at}.content", images if last else None)
            messages.append({"role": role, "content": parts.text(content, f"{at}.content", ("text",))})
        parameters = {
            "temperature": self.temperature, "top_p": self.top_p, "seed": self.seed, "stop": self.stop,
            "presence_penalty": self.presence_penalty, "frequency_penalty": self.frequency_penalty,
            "max_tokens": self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens,
        }  # fmt: skip
        client = Client(dialect="chat", metadata=self.metadata or {}, format=said)
        return _question(
            "messages",
            messages,
            model=self.model,
            parameters=parameters,
            client=client,
            images=images,
            response_schema=schema,
        )


class ResponsesRequest(_OpenAI):
    """A response."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    background: bool | None = None
    text: dict[str, Any] | None = Field(default=None, description="`format`: a JSON Schema for the answer.")

    def question(self) -> CompleteInput:
        """What the job is asked; raises ``UnsupportedParameter`` and ``InvalidParameter``."""
        refuse(self.model_extra or {}, _HARMLESS, _RESPONSES_NEUTRAL)
        refuse(self.stream_options or {}, set(), _STREAM_NEUTRAL, at="stream_options.")
        refuse(self.text or {}, {"format"}, {"verbosity": ("medium",)}, at="text.")
        schema, said = parts.form((self.text or {}).get("format"), "text.format", nested=False)
        images: list[Any] = []
        given = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        messages = []
        for n, item in enumerate(given):
            at = f"input[{n}]"
            refuse(item, {"role", "content", "id", "status"}, {"type": ("message",)}, at=f"{at}.")
            role = _role(item, at)
            last = role == "user" and not any(later.get("role") == "user" for later in given[n + 1 :])
            content = parts.without_images(item.get("content"), f"{at}.content", images if last else None)
            text = parts.text(content, f"{at}.content", ("input_text", "output_text"))
            messages.append({"role": role, "content": text})
        parameters = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_output_tokens}
        client = Client(
            dialect="responses", background=bool(self.background), metadata=self.metadata or {}, format=said
        )
        return _question(
            "input",
            messages,
            model=self.model,
            parameters=parameters,
            client=client,
            system=self.instructions,
            images=images,
            response_schema=schema,
        )


# The AI SDK's names for parameters, and ours.
_SETTINGS = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxOutputTokens": "max_tokens",
    "seed": "seed",
    "stopSequences": "stop",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: given[theirs] for theirs, ours in _SETTINGS.items() if theirs in given}


class UIRequest(BaseModel):
    """What the AI SDK's ``useChat`` sends. ``body`` of its transport may add ``model``, ``system`` and settings."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(min_length=1, max_length=200, description="The chat's id.")
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=500)
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: str | None = None  # noqa: N815  (its name on the wire)
    model: str = DEFAULT_MODEL
    system: str | None = None

    def question(self) -> CompleteInput:
        """What the job is asked; raises ``UnsupportedParameter`` and ``InvalidParameter``."""
        extra = self.model_extra or {}
        refuse(extra, set(_SETTINGS))
        messages = []
        for n, message in enumerate(self.messages):
            at = f"messages[{n}]"
            role = _role(message, at)
            # What is shown beside the text is for people: the SDK's own conversion for models leaves it out too.
            shown = ("step-start", "data-*", "source-url", "source-document", "reasoning")
            text = parts.text(message.get("parts"), f"{at}.parts", ("text",), shown)
            messages.append({"role": role, "content": text})
        client = Client(dialect="ai-sdk", id=self.id)
        return _question(
            "messages", messages, model=self.model, parameters=_settings(extra), client=client, system=self.system
        )


class RunInput(BaseModel):
    """What an AG-UI client sends. ``forwardedProps`` may hold ``model`` and the AI SDK's names of settings."""

    model_config = ConfigDict(extra="allow")

    threadId: str = Field(min_length=1, max_length=200)  # noqa: N815  (its name on the wire)
    runId: str = Field(min_length=1, max_length=200)  # noqa: N815
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=500)
    context: list[dict[str, Any]] = Field(default_factory=list)
    forwardedProps: dict[str, Any] | None = None  # noqa: N815

    def question(self) -> CompleteInput:
        """What the job is asked; raises ``UnsupportedParameter`` and ``InvalidParameter``."""
        refuse(self.model_extra or {}, {"protocolVersion", "parentRunId"})
        props = self.forwardedProps or {}
        refuse(props, {"model", *_SETTINGS}, at="forwardedProps.")
        messages = []
        for n, message in enumerate(self.messages):
            at = f"messages[{n}]"
            if message.get("role") in {"activity", "reasoning"}:  # shown to people, never said to the model
                continue
            refuse(message, {"id", "role", "content", "name"}, at=f"{at}.")
            role = _role(message, at)
            text = parts.text(message.get("content"), f"{at}.content", ("text",))
            messages.append({"role": role, "content": text})
        context = "\n".join(f"{one.get('description')}: {one.get('value')}" for one in self.context)
        client = Client(dialect="ag-ui", id=self.runId, thread=self.threadId)
        model = props.get("model") or DEFAULT_MODEL
        return _question(
            "messages", messages, model=model, parameters=_settings(props), client=client, system=context or None
        )
