"""Perplexity: OpenAI's chat completions with three differences.

Every chunk carries the usage so far, not its own share; the pages an answer rests on stand beside it in fields OpenAI
does not have; and the usage says what the call cost.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openai.types.chat import ChatCompletionChunk
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.usage import RequestUsage

from yeoul.core.llm.providers.openai import STRICT
from yeoul.core.llm.providers.sdk import SdkConnection, client, secret
from yeoul.settings import Settings

_URL = "https://api.perplexity.ai"
_FIELDS = ("citations", "search_results")


@dataclass
class _PerplexityStream(OpenAIStreamedResponse):
    def _add_usage(self, usage: RequestUsage, *, reported: bool, cumulative: bool = False) -> None:
        del cumulative
        if reported:
            super()._add_usage(usage, reported=True, cumulative=True)

    def _map_usage(self, response: ChatCompletionChunk) -> RequestUsage:
        usage = super()._map_usage(response)
        bill = getattr(response.usage, "cost", None)
        if isinstance(bill, dict) and isinstance(total := bill.get("total_cost"), int | float):
            usage.cost = Decimal(str(total))
        return usage

    def _map_chunk_provider_details(self, chunk: ChatCompletionChunk) -> dict[str, Any] | None:
        # The last chunk's are complete; the caller lets later ones replace earlier ones.
        extra = chunk.model_extra or {}
        return {name: extra[name] for name in _FIELDS if extra.get(name)} or None


class _PerplexityModel(OpenAIChatModel):
    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _PerplexityStream


def connect(settings: Settings) -> SdkConnection:
    """Opens Perplexity."""
    http = client()
    provider = OpenAICompatibleProvider(
        "perplexity",
        base_url=settings.perplexity_base_url or _URL,
        api_key=secret(settings.perplexity_api_key),
        http_client=http,
    )
    return SdkConnection(
        settings, provider, lambda name: _PerplexityModel(name, provider=provider, profile=STRICT), http=http
    )
