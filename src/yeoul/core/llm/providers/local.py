"""The local model: a llama.cpp server, asked like any OpenAI-compatible one.

It runs in a process of ours, or apart (``yeoul llm``) at the address in ``local_url``.
"""

import asyncio

from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from yeoul.core.llm.embedder import Embedder
from yeoul.core.llm.local import LocalServer
from yeoul.core.llm.providers.base import Connection
from yeoul.core.llm.providers.e5 import E5Model
from yeoul.core.llm.providers.openai import STRICT
from yeoul.core.llm.providers.sdk import SdkConnection
from yeoul.settings import Settings

_LONGEST_ANSWER = 1024
"""Tokens of an answer that was given no limit: a small model may otherwise ramble until its context is full."""


class LocalConnection(Connection):
    """The local model's process, and the connection to the one that runs now."""

    def __init__(self, settings: Settings) -> None:
        self.settings = ModelSettings(max_retries=0, timeout=settings.model_timeout_seconds, max_tokens=_LONGEST_ANSWER)
        self._all = settings
        self._server = LocalServer(settings)
        self._embedder = Embedder(settings)
        self._sdk: SdkConnection | None = None
        self._address: str | None = None
        self._changing = asyncio.Lock()

    async def model(self, name: str) -> Model:
        """The local model; starts its process when there is none."""
        address, key = await self._server.address()
        async with self._changing:
            if self._sdk is None or self._address != address:
                if self._sdk is not None:
                    await self._sdk.aclose()
                provider = OpenAICompatibleProvider("local", base_url=f"{address}/v1", api_key=key)
                self._sdk = SdkConnection(
                    self._all, provider, lambda name: OpenAIChatModel(name, provider=provider, profile=STRICT)
                )
                self._address = address
            return await self._sdk.model(name)

    async def embedder(self, name: str) -> EmbeddingModel:
        """The model for embeddings, in a process of its own."""
        return E5Model(name, self._embedder)

    async def aclose(self) -> None:
        """Ends the processes."""
        await self._embedder.stop()
        if self._sdk is not None:
            await self._sdk.aclose()
        await self._server.stop()


def connect(settings: Settings) -> Connection:
    """Makes the connection: to the server at ``local_url``, else to a process that starts with the first question."""
    if not settings.local_url:
        return LocalConnection(settings)
    url = f"{settings.local_url.rstrip('/')}/v1"
    provider = OpenAICompatibleProvider("local", base_url=url, api_key=settings.local_token)
    embedder = Embedder(settings)
    made = SdkConnection(
        settings,
        provider,
        lambda name: OpenAIChatModel(name, provider=provider, profile=STRICT),
        closes=embedder.stop,
        embeds=lambda name: E5Model(name, embedder),
    )
    made.settings["max_tokens"] = _LONGEST_ANSWER
    return made
