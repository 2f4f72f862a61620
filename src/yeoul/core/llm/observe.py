"""What is told of every model call: its span, under OpenTelemetry's names for generative AI, and its numbers.

One call is what the caller sees: the gateway's own attempts after hiccups are inside it.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager
from decimal import Decimal

from prometheus_client import Counter, Histogram

from yeoul.core.base import json
from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.errors import ModelError
from yeoul.core.llm.schemas import Completed, CompletionRequest, Cost, EmbeddingRequest, Embeddings, TextDelta, Usage
from yeoul.core.telemetry import tracing
from yeoul.settings import Settings

MOST_MODELS = 200
"""Models that get series of their own; the rest is ``other``. Some providers answer to any name one cares to send."""
LONGEST_CONTENT = 16_384
"""Characters of one text in a span, where content is kept at all."""

_BY_MODEL = ("provider", "model")
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)

CALLS = Counter("yeoul_model_calls", "Model calls that have ended.", (*_BY_MODEL, "outcome"))
TOKENS = Counter("yeoul_model_tokens", "Tokens that providers have counted.", (*_BY_MODEL, "direction"))
COST = Counter("yeoul_model_cost_usd", "What model calls have cost in US dollars, where prices are known.", _BY_MODEL)
CALL_SECONDS = Histogram("yeoul_model_call_seconds", "Duration of model calls.", _BY_MODEL, buckets=_SECONDS)
FIRST_TOKEN_SECONDS = Histogram(
    "yeoul_model_first_token_seconds", "Time to the first piece of text.", _BY_MODEL, buckets=_SECONDS
)

# Well-known names where there is one, else ours.
_PROVIDERS = {"gemini": "gcp.gemini", "compatible": "openai_compatible", "local": "llama.cpp"}
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
}

_seen: set[tuple[str, str]] = set()


async def observed(
    items: AsyncGenerator[TextDelta | Completed], route: Route, request: CompletionRequest, settings: Settings
) -> AsyncGenerator[TextDelta | Completed]:
    """The same items, counted and traced; closes them."""
    span = _begin(route, request) if tracing.is_on() else tracing.NO_SPAN
    with _timed(route, settings, span) as answered:
        async with aclosing(items):
            async for item in items:
                if isinstance(item, Completed):
                    answered()
                    _count(route, item.usage, item.cost)
                    if item.first_token_ms is not None:
                        FIRST_TOKEN_SECONDS.labels(*_counted(route)).observe(item.first_token_ms / 1000)
                    _complete(span, item)
                yield item


async def observed_embedding(
    making: Awaitable[Embeddings], route: Route, request: EmbeddingRequest, settings: Settings
) -> Embeddings:
    """The same vectors, counted and traced."""
    span = _begin_embedding(route, request) if tracing.is_on() else tracing.NO_SPAN
    with _timed(route, settings, span) as answered:
        made = await making
        answered()
        usage = None if made.tokens is None else Usage(input_tokens=made.tokens, output_tokens=0)
        _count(route, usage, made.cost)
        _spent(span, usage, made.cost)
    return made


@contextmanager
def _timed(route: Route, settings: Settings, span: tracing.Span) -> Generator[Callable[[], None]]:
    """Counts one call and ends its span; it has failed, or was given up, unless told that it was answered."""
    began = time.monotonic()
    outcome, done = "canceled", False

    def answered() -> None:
        nonlocal outcome, done
        outcome, done = "ok", True

    try:
        yield answered
    except ModelError as error:
        outcome = error.code
        raise
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        labels = _labels(route, settings, answered=done)
        CALLS.labels(*labels, outcome).inc()
        CALL_SECONDS.labels(*labels).observe(time.monotonic() - began)
        if not done:
            span.fail(outcome)
        span.end()


def _labels(route: Route, settings: Settings, *, answered: bool) -> tuple[str, str]:
    """Provider and model; a name nobody lists counts once it has answered, and only so many of them do."""
    key = (route.provider.name, route.model.name)
    if key not in _seen:
        listed = any(model.name == route.model.name for model in route.provider.models(settings))
        if len(_seen) >= MOST_MODELS or not (listed or answered):
            return route.provider.name, "other"
        _seen.add(key)
    return key


def _counted(route: Route) -> tuple[str, str]:
    """Provider and model of a call that was answered."""
    key = (route.provider.name, route.model.name)
    if key not in _seen and len(_seen) >= MOST_MODELS:
        return route.provider.name, "other"
    _seen.add(key)
    return key


def _count(route: Route, usage: Usage | None, cost: Cost) -> None:
    labels = _counted(route)
    if usage is not None:
        TOKENS.labels(*labels, "input").inc(usage.input_tokens)
        TOKENS.labels(*labels, "output").inc(usage.output_tokens)
    if cost.usd is not None:
        COST.labels(*labels).inc(float(max(cost.usd, Decimal(0))))


def _begin(route: Route, request: CompletionRequest) -> tracing.Span:
    given = request.parameters.model_dump(exclude_none=True)
    attributes: dict[str, tracing.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(route.provider.name, route.provider.name),
        "gen_ai.request.model": route.model.name,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "text" if request.response_schema is None else "json",
        **{named: given[name] for name, named in _PARAMETERS.items() if name in given},
    }
    if tracing.with_content():
        said = [{"role": m.role, "parts": [_text(m.content)]} for m in request.messages]
        attributes["gen_ai.input.messages"] = json.dumps(said)
        if request.system is not None:
            attributes["gen_ai.system_instructions"] = json.dumps([_text(request.system)])
    return tracing.begin(f"chat {route.model.name}", "client", attributes)


def _begin_embedding(route: Route, request: EmbeddingRequest) -> tracing.Span:
    attributes: dict[str, tracing.Value] = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": _PROVIDERS.get(route.provider.name, route.provider.name),
        "gen_ai.request.model": route.model.name,
        "yeoul.texts": len(request.texts),
    }
    if request.dimensions is not None:
        attributes["gen_ai.embeddings.dimension.count"] = request.dimensions
    return tracing.begin(f"embeddings {route.model.name}", "client", attributes)


def _spent(span: tracing.Span, usage: Usage | None, cost: Cost) -> None:
    if usage is not None:
        span.set({"gen_ai.usage.input_tokens": usage.input_tokens})
    if cost.usd is not None:
        span.set({"yeoul.cost.usd": float(cost.usd)})


def _complete(span: tracing.Span, item: Completed) -> None:
    if span is tracing.NO_SPAN:
        return
    _spent(span, item.usage, item.cost)
    attributes: dict[str, tracing.Value] = {"gen_ai.response.finish_reasons": [item.finish_reason]}
    if item.usage is not None:
        attributes["gen_ai.usage.output_tokens"] = item.usage.output_tokens
        if item.usage.cached_input_tokens is not None:
            attributes["gen_ai.usage.cache_read.input_tokens"] = item.usage.cached_input_tokens
    if item.first_token_ms is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = item.first_token_ms / 1000
    if tracing.with_content():
        answer = {"role": "assistant", "parts": [_text(item.text)], "finish_reason": item.finish_reason}
        attributes["gen_ai.output.messages"] = json.dumps([answer])
    span.set(attributes)


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content[:LONGEST_CONTENT]}
