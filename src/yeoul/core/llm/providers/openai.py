"""OpenAI, by its chat completions API."""

from functools import partial

from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from yeoul.core.llm.providers.sdk import SdkConnection, client, secret
from yeoul.settings import Settings

SCHEMAS = OpenAIModelProfile(supports_json_schema_output=True)
"""Our catalogue says which models keep to a JSON Schema; a name may make pydantic-ai think otherwise."""
STRICT = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True, supports_json_schema_output=True)
"""And a stream that ends without saying why broke off. Of servers that are only compatible, some never say."""


def connect(settings: Settings) -> SdkConnection:
    """Opens OpenAI."""
    # A server of one's own behind OPENAI_BASE_URL may want no key; the SDK insists on one.
    http = client()
    provider = OpenAIProvider(
        base_url=settings.openai_base_url or None, api_key=secret(settings.openai_api_key) or "none", http_client=http
    )
    provider.client.max_retries = 0  # embeddings take no settings of their own for it
    return SdkConnection(
        settings,
        provider,
        lambda name: OpenAIChatModel(name, provider=provider, profile=STRICT),
        embeds=partial(OpenAIEmbeddingModel, provider=provider),
        http=http,
    )
