"""What is told of every model call: its span, under OpenTelemetry's names for generative AI, and its numbers.

One call is what the caller sees: the gateway's own attempts after hiccups are inside it.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal

from prometheus_client import Counter, Histogram

from yeoul.core.base import json
from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.errors import ModelError
from yeoul.core.llm.schemas import Completed, CompletionRequest, TextDelta
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
    began = time.monotonic()
    outcome, answered = "canceled", False
    try:
        async with aclosing(items):
            async for item in items:
                if isinstance(item, Completed):
                    outcome, answered = "ok", True
                    _count(route, item)
                    _complete(span, item)
                yield item
    except ModelError as error:
        outcome = error.code
        raise
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        labels = _labels(route, settings, answered=answered)
        CALLS.labels(*labels, outcome).inc()
        CALL_SECONDS.labels(*labels).observe(time.monotonic() - began)
        if not answered:
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


def _count(route: Route, item: Completed) -> None:
    key = (route.provider.name, route.model.name)
    if key not in _seen and len(_seen) >= MOST_MODELS:
        key = (route.provider.name, "other")
    _seen.add(key)
    if item.usage is not None:
        TOKENS.labels(*key, "input").inc(item.usage.input_tokens)
        TOKENS.labels(*key, "output").inc(item.usage.output_tokens)
    if item.cost.usd is not None:
        COST.labels(*key).inc(float(max(item.cost.usd, Decimal(0))))
    if item.first_token_ms is not None:
        FIRST_TOKEN_SECONDS.labels(*key).observe(item.first_token_ms / 1000)


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


def _complete(span: tracing.Span, item: Completed) -> None:
    if span is tracing.NO_SPAN:
        return
    attributes: dict[str, tracing.Value] = {"gen_ai.response.finish_reasons": [item.finish_reason]}
    if item.usage is not None:
        attributes["gen_ai.usage.input_tokens"] = item.usage.input_tokens
        attributes["gen_ai.usage.output_tokens"] = item.usage.output_tokens
        if item.usage.cached_input_tokens is not None:
            attributes["gen_ai.usage.cache_read.input_tokens"] = item.usage.cached_input_tokens
    if item.first_token_ms is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = item.first_token_ms / 1000
    if item.cost.usd is not None:
        attributes["yeoul.cost.usd"] = float(item.cost.usd)
    if tracing.with_content():
        answer = {"role": "assistant", "parts": [_text(item.text)], "finish_reason": item.finish_reason}
        attributes["gen_ai.output.messages"] = json.dumps([answer])
    span.set(attributes)


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content[:LONGEST_CONTENT]}
