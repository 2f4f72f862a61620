"""Scripted models for tests and demos; no key, no network, no weights. Offered when ``fake_models`` is set.

==================  ====================================================================================================
``fake/echo``       the last message, word by word, then what images came with it: ``[image/png, 68 bytes]``; where
                    JSON is wanted, JSON that fits the schema (see ``fake_json``)
``fake/slow``       numbered words, one each 50 ms: 40 of them, or as many and as fast as the message says
                    (``200 words, 5 ms``)
``fake/script``     does what the message says in JSON (see ``Script``)
``fake/blocked``    two words, then a safety filter
``fake/silent``     never says anything
``fake/error-…``    fails like a provider with that HTTP status; ``error-context``: as if the context were too long
``fake/embedding``  vectors of 64 numbers: texts that share words are near each other
==================  ====================================================================================================

A token is a word here. All of them honour ``max_tokens``.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_ai import RunContext
from pydantic_ai.exceptions import (
    ModelAuthenticationError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelOverloadedError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
)
from pydantic_ai.messages import (
    BinaryContent,
    FinishReason,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponseStreamEvent,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from yeoul.core.llm.errors import RequestRejected
from yeoul.core.llm.providers.base import Connection
from yeoul.core.llm.providers.fake_embedding import FakeEmbedding
from yeoul.core.llm.providers.fake_json import fitting
from yeoul.settings import Settings

_FINISHES: dict[str, tuple[FinishReason, dict[str, Any]]] = {
    "stop": ("stop", {"finish_reason": "stop"}),
    "length": ("length", {"finish_reason": "length"}),
    "content_filter": (
        "content_filter",
        {
            "finish_reason": "SAFETY",
            "safety_ratings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}],
        },
    ),
}

_ERRORS: dict[int, Any] = {
    400: ModelRequestRejectedError,
    401: ModelAuthenticationError,
    413: ModelContextWindowExceededError,
    429: ModelRateLimitError,
    500: ModelServerError,
    529: ModelOverloadedError,
}


class Step(BaseModel):
    """A pause, then a piece of text or an error."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    after_ms: float = Field(default=0, ge=0)
    error: Literal[400, 401, 413, 429, 500, 529] | None = None
    retry_after: float | None = None


class Script(BaseModel):
    """What a scripted model does.

    ``fail_first``: statuses with which the first calls of this very script fail, one each. Then the steps, ``repeat``
    times over. A string is a step that says it.
    """

    model_config = ConfigDict(extra="forbid")

    fail_first: list[Literal[400, 401, 413, 429, 500, 529]] = []
    steps: list[Step | str] = Field(min_length=1, max_length=10_000)
    repeat: int = Field(default=1, ge=1, le=1_000_000)
    finish: Literal["stop", "length", "content_filter"] = "stop"


@dataclass(frozen=True)
class _Play:
    steps: Iterable[Step]
    finish: str = "stop"
    fail_first: Sequence[int] = ()


def _echo(prompt: str) -> _Play:
    return _Play([Step(text=word) for word in re.findall(r"\S+\s*|^\s+", prompt)])


def _slow(prompt: str) -> _Play:
    count = re.search(r"(\d+)\s*words?\b", prompt)
    pause = re.search(r"(\d+)\s*ms\b", prompt)
    after_ms = float(pause[1]) if pause else 50.0
    words = int(count[1]) if count else 40
    return _Play(Step(text=f"word{number} ", after_ms=after_ms) for number in range(1, words + 1))


def _given(prompt: str) -> _Play:
    try:
        script = Script.model_validate_json(prompt)
    except ValidationError as error:
        raise RequestRejected(f"This is no script: {error}", model="fake/script") from error
    steps = [Step(text=step) if isinstance(step, str) else step for step in script.steps]
    return _Play(chain.from_iterable(repeat(steps, script.repeat)), script.finish, script.fail_first)


_PLAYS: dict[str, Callable[[str], _Play]] = {
    "echo": _echo,
    "slow": _slow,
    "script": _given,
    "blocked": lambda _: _Play([Step(text="This is ")], finish="content_filter"),
    "silent": lambda _: _Play([Step(after_ms=86_400_000)]),
    "error-context": lambda _: _Play([Step(error=413)]),
}


def _play(name: str, prompt: str, schema: dict[str, Any] | None) -> _Play:
    if schema is not None:
        return _echo(json.dumps(fitting(schema, prompt), ensure_ascii=False))
    if (write := _PLAYS.get(name)) is not None:
        return write(prompt)
    return _Play([Step.model_validate({"error": int(name.removeprefix("error-"))})])


class FakeModel(Model):
    """A model that follows a script."""

    def __init__(self, name: str) -> None:
        super().__init__(profile=ModelProfile(supports_json_schema_output=True))
        self._name = name
        self._calls: Counter[str] = Counter()

    @property
    def model_name(self) -> str:
        """Its name without the provider."""
        return self._name

    @property
    def system(self) -> str:
        """The provider's name."""
        return "fake"

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,  # noqa: ARG002  (the interface's)
    ) -> AsyncGenerator[StreamedResponse]:
        """Opens the script the last message asks for."""
        prompt = _last_prompt(messages)
        form = model_request_parameters.output_object
        play = _play(self._name, prompt, None if form is None else form.json_schema)
        if play.fail_first:
            self._calls[prompt] += 1
            if self._calls[prompt] <= len(play.fail_first):
                raise _error(play.fail_first[self._calls[prompt] - 1], self._name, None)
        yield _FakeStream(
            model_request_parameters=model_request_parameters,
            _name=self._name,
            _play=play,
            _asked=len(prompt.split()),
            _longest=(model_settings or {}).get("max_tokens"),
        )

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The whole answer at once."""
        async with self.request_stream(messages, model_settings, model_request_parameters) as stream:
            async for _ in stream:
                pass
            return stream.get()


@dataclass
class _FakeStream(StreamedResponse):
    _name: str
    _play: _Play
    _asked: int
    _longest: int | None
    _timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        said = 0
        self._usage = RequestUsage(input_tokens=self._asked)
        finish = self._play.finish
        for step in self._play.steps:
            if self._longest is not None and said >= self._longest:
                finish = "length"
                break
            await asyncio.sleep(step.after_ms / 1000)
            if step.error is not None:
                raise _error(step.error, self._name, step.retry_after)
            said += len(step.text.split())
            self._usage = RequestUsage(input_tokens=self._asked, output_tokens=said)
            for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content=step.text):
                yield event
        self.finish_reason, self.provider_details = _FINISHES[finish]

    async def close_stream(self) -> None:
        """There is nothing to close."""

    @property
    def model_name(self) -> str:
        return self._name

    @property
    def provider_name(self) -> str:
        return "fake"

    @property
    def provider_url(self) -> None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self._timestamp


def _last_prompt(messages: list[ModelMessage]) -> str:
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):
                if isinstance(part, UserPromptPart):
                    said = [part.content] if isinstance(part.content, str) else part.content
                    return " ".join(map(_shown, said))
    return ""


def _shown(part: UserContent) -> str:
    if isinstance(part, BinaryContent):
        return f"[{part.media_type}, {len(part.data)} bytes]"
    return str(part)


def _error(status: int, name: str, retry_after: float | None) -> ModelHTTPError:
    return ModelHTTPError.for_category(
        _ERRORS[status],
        status_code=400 if status == 413 else status,  # noqa: PLR2004  (providers say 400 for a context that is too long)
        model_name=name,
        body={"error": {"message": f"scripted {status}"}},
        retry_after=retry_after,
    )


class FakeConnection(Connection):
    """All scripted models."""

    def __init__(self) -> None:
        self.settings = ModelSettings()
        self._models: dict[str, FakeModel] = {}

    async def model(self, name: str) -> FakeModel:
        """The scripted model of this name."""
        return self._models.setdefault(name, FakeModel(name))

    async def embedder(self, name: str) -> FakeEmbedding:
        """The scripted model that makes embeddings."""
        return FakeEmbedding(name)


def connect(settings: Settings) -> FakeConnection:  # noqa: ARG001  (a provider's signature)
    """Makes the scripted models."""
    return FakeConnection()
