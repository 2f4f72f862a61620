"""One attempt at one model call, through pydantic-ai. Imported on first use: pydantic-ai takes over a second."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from copy import deepcopy
from decimal import Decimal
from typing import cast

import structlog
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings

from yeoul.core.llm import failures
from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.errors import ModelTimeout, ModelUnavailable
from yeoul.core.llm.providers.base import Connection
from yeoul.core.llm.schemas import Completed, CompletionRequest, Cost, FinishReason, TextDelta, Usage

log = structlog.get_logger(__name__)

# Ours to pydantic-ai's, where the names differ.
_SETTING_NAMES = {"stop": "stop_sequences"}

# What a provider adds to an answer that a client can use.
_EXTRAS = ("citations", "search_results")


class Clock:
    """The two limits of a call: its whole length, and the silence between two signs of life, both in seconds."""

    def __init__(self, *, total: float, idle: float) -> None:
        self.started = time.monotonic()
        self._total = total
        self._idle = idle

    @asynccontextmanager
    async def limit(self, route: Route) -> AsyncGenerator[None]:
        """Bounds one wait; raises ``ModelTimeout``."""
        left = self.started + self._total - time.monotonic()
        try:
            async with asyncio.timeout(min(left, self._idle)):
                yield
        except TimeoutError:
            who = route.provider.title
            words = (
                f"{who} said nothing for {self._idle:g} seconds. Try again, or raise YEOUL_MODEL_IDLE_SECONDS."
                if left > self._idle
                else f"{who} took longer than {self._total:g} seconds. "
                "Ask for less, or raise YEOUL_MODEL_TIMEOUT_SECONDS."
            )
            raise ModelTimeout(words, model=route.id) from None

    def elapsed_ms(self) -> int:
        """Milliseconds since the call began."""
        return round((time.monotonic() - self.started) * 1000)


async def attempt(
    connection: Connection, route: Route, request: CompletionRequest, clock: Clock
) -> AsyncGenerator[TextDelta | Completed]:
    """Asks once. Yields the text as it comes and ``Completed`` last; raises a ``ModelError``.

    Cancelling the task that waits here closes the connection to the provider.
    """
    said: list[str] = []
    first_token_ms: int | None = None
    with failures.mapped(route):
        model = await connection.model(route.model.name)
        settings = connection.settings | _settings(route, request)
        form = _form(model, settings, request)
        async with AsyncExitStack() as stack:
            async with clock.limit(route):
                stream = await stack.enter_async_context(
                    model_request_stream(
                        model, _messages(request), model_settings=settings, model_request_parameters=form
                    )
                )
            events = aiter(stream)
            while True:
                async with clock.limit(route):
                    event = await anext(events, None)
                if event is None:
                    break
                if text := _text(event):
                    if first_token_ms is None:
                        first_token_ms = clock.elapsed_ms()
                    said.append(text)
                    yield TextDelta(text)
            response = stream.get()
    finish = _finish(response, route)
    details = response.provider_details or {}
    yield Completed(
        text="".join(said),
        finish_reason=finish,
        usage=_usage(response),
        cost=_cost(response, route),
        model=route.id,
        time_ms=clock.elapsed_ms(),
        first_token_ms=first_token_ms,
        extra={name: details[name] for name in _EXTRAS if name in details},
    )


def _settings(route: Route, request: CompletionRequest) -> ModelSettings:
    given = request.parameters.model_dump(exclude_none=True)
    honoured = route.provider.honours(route.model)
    return cast("ModelSettings", {_SETTING_NAMES.get(name, name): given[name] for name in honoured if name in given})


def _form(model: Model, settings: ModelSettings, request: CompletionRequest) -> ModelRequestParameters:
    """The form the answer shall have. Raises ``UserError`` for a schema its provider has no way to say."""
    if request.response_schema is None:
        return ModelRequestParameters()
    form = ModelRequestParameters(
        output_mode="native", output_object=OutputObjectDefinition(json_schema=deepcopy(request.response_schema))
    )
    try:
        model.prepare_request(settings, form)
    except UserError:
        raise
    except Exception as error:  # vendors' own converters raise whatever they stumble over
        raise UserError(f"its JSON Schema cannot be said to this provider: {error}") from error
    return form


def _messages(request: CompletionRequest) -> list[ModelMessage]:
    messages: list[ModelMessage] = []
    last = max((n for n, message in enumerate(request.messages) if message.role == "user"), default=None)
    parts: list[ModelRequestPart] = [] if request.system is None else [SystemPromptPart(request.system)]
    for n, message in enumerate(request.messages):
        if message.role == "assistant":
            if parts:
                messages.append(ModelRequest(parts=parts))
                parts = []
            messages.append(ModelResponse(parts=[TextPart(message.content)]))
        elif message.role == "system":
            parts.append(SystemPromptPart(message.content))
        else:
            shown = [BinaryContent(image.data, media_type=image.media_type) for image in request.images]
            parts.append(UserPromptPart([message.content, *shown] if shown and n == last else message.content))
    if parts:
        messages.append(ModelRequest(parts=parts))
    return messages


def _text(event: ModelResponseStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _finish(response: ModelResponse, route: Route) -> FinishReason:
    """Why the answer ended; raises when it did not end well.

    A filter that stops an answer midway looks like a normal end to pydantic-ai: only the reason tells.
    """
    reason = response.finish_reason
    details = response.provider_details
    if reason not in {"stop", "length"}:
        stopped = failures.filtered(details, route, certain=reason == "content_filter")
        if stopped is not None:
            raise stopped
        if reason == "error" or not (details or {}).get("finish_reason"):
            raise ModelUnavailable(f"The answer of {route.provider.title} broke off. Try again.", model=route.id)
    return "stop" if reason == "stop" else "length" if reason == "length" else "other"


def _usage(response: ModelResponse) -> Usage | None:
    usage = response.usage
    if usage.unmeasured_requests:
        return None
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cache_read_tokens or None,
    )


def _cost(response: ModelResponse, route: Route) -> Cost:
    if route.provider.free:
        return Cost(usd=Decimal(0))
    if response.usage.cost is not None:  # the provider's own bill
        return Cost(usd=response.usage.cost)
    if route.provider.price_list is None or response.model_name is None:
        return Cost()
    try:
        return Cost(usd=response.cost().total_price)
    except (LookupError, ValueError) as error:
        log.debug("no price for this call", model=route.id, why=str(error))
        return Cost()
