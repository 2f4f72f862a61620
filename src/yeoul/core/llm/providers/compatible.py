"""Any server that speaks OpenAI's chat completions or embeddings: Ollama, vLLM, LM Studio, a gateway of one's own."""

from functools import partial

from pydantic import SecretStr
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from yeoul.core.llm.providers.openai import SCHEMAS
from yeoul.core.llm.providers.sdk import SdkConnection, client, secret
from yeoul.settings import Settings


def connect(settings: Settings) -> SdkConnection:
    """Opens the server at ``compatible_base_url``."""
    return connect_to(settings, "compatible", settings.compatible_base_url or "", settings.compatible_api_key)


def connect_to(settings: Settings, name: str, base_url: str, key: SecretStr | None) -> SdkConnection:
    """Opens the OpenAI-compatible server of a provider; ``base_url`` ends before ``/chat/completions``."""
    http = client()
    provider = OpenAICompatibleProvider(name, base_url=base_url, api_key=secret(key), http_client=http)
    provider.client.max_retries = 0  # embeddings take no settings of their own for it
    return SdkConnection(
        settings,
        provider,
        lambda model: OpenAIChatModel(model, provider=provider, profile=SCHEMAS),
        embeds=partial(OpenAIEmbeddingModel, provider=provider),
        http=http,
    )
