"""Anthropic, by its messages API."""

from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from yeoul.core.llm.providers.sdk import SdkConnection, client, secret
from yeoul.settings import Settings


def connect(settings: Settings) -> SdkConnection:
    """Opens Anthropic."""
    http = client()
    provider = AnthropicProvider(
        api_key=secret(settings.anthropic_api_key), base_url=settings.anthropic_base_url or None, http_client=http
    )
    return SdkConnection(settings, provider, lambda name: AnthropicModel(name, provider=provider), http=http)
