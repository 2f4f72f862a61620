"""Any server that speaks OpenAI's chat completions or embeddings: Ollama, vLLM, LM Studio, a gateway of one's own."""

from functools import partial

from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from yeoul.core.llm.providers.openai import SCHEMAS
from yeoul.core.llm.providers.sdk import SdkConnection, client, secret
from yeoul.settings import Settings


def connect(settings: Settings) -> SdkConnection:
    """Opens the server at ``compatible_base_url``."""
    http = client()
    provider = OpenAICompatibleProvider(
        "compatible",
        base_url=settings.compatible_base_url or "",
        api_key=secret(settings.compatible_api_key),
        http_client=http,
    )
    provider.client.max_retries = 0  # embeddings take no settings of their own for it
    return SdkConnection(
        settings,
        provider,
        lambda name: OpenAIChatModel(name, provider=provider, profile=SCHEMAS),
        embeds=partial(OpenAIEmbeddingModel, provider=provider),
        http=http,
    )
