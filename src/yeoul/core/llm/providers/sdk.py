"""What the providers behind a vendor's SDK share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol

from pydantic import SecretStr
from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.models import Model, create_async_httpx2_client
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings

from yeoul.core.llm import vendor_headers
from yeoul.core.llm.providers.base import Connection
from yeoul.settings import Settings


class _Headed(Protocol):
    headers: Mapping[str, str]


class SdkConnection(Connection):
    """A provider behind an HTTP API.

    ``build`` makes its model of a name, ``embeds`` the one for embeddings, where it has some. ``aclose`` closes
    ``http``, its HTTP client, and calls ``closes`` for what else is its own.
    """

    def __init__(
        self,
        settings: Settings,
        provider: Provider[Any],
        build: Callable[[str], Model],
        *,
        http: Any = None,  # noqa: ANN401  (see ``client``)
        closes: Callable[[], Awaitable[None]] | None = None,
        embeds: Callable[[str], EmbeddingModel] | None = None,
    ) -> None:
        self.settings = ModelSettings(
            max_retries=0,  # the gateway retries, who knows what was already said
            timeout=settings.model_timeout_seconds,  # the gateway's clock is the tighter one
        )
        self._provider = provider
        self._build = build
        self._embeds = embeds
        self._models: dict[str, Model] = {}
        self._open = AsyncExitStack()
        self._entered = False
        self._http = http
        for close in (closes, None if http is None else http.aclose):
            if close is not None:
                self._open.push_async_callback(close)

    async def model(self, name: str) -> Model:
        """The model of this name."""
        await self._enter()
        if name not in self._models:
            # In a thread: the first model of an SDK imports more of it and reads the price list.
            self._models[name] = await asyncio.to_thread(self._build, name)
        return self._models[name]

    async def embedder(self, name: str) -> EmbeddingModel:
        """The model of this name that makes embeddings; raises ``RequestRejected`` where the provider has none."""
        if self._embeds is None:
            return await super().embedder(name)
        await self._enter()
        return self._embeds(name)

    def leave_account(self) -> None:
        """Drops what OpenAI's SDK takes from ``OPENAI_ORG_ID`` and ``OPENAI_PROJECT_ID``, again with each request."""
        if self._http is not None:
            self._http.event_hooks["request"].append(_leave_account)

    async def _enter(self) -> None:
        if not self._entered:
            self._entered = True
            await self._open.enter_async_context(self._provider)

    async def aclose(self) -> None:
        """Closes the HTTP client."""
        await self._open.aclose()


async def _leave_account(request: Any) -> None:  # noqa: ANN401  (the HTTP client's own; see ``client``)
    for name in ("OpenAI-Organization", "OpenAI-Project"):
        request.headers.pop(name, None)


async def _hear(response: _Headed) -> None:
    if (heard := vendor_headers.heard.get()) is not None:
        heard |= {name.lower(): value for name, value in response.headers.items()}


def client() -> Any:  # noqa: ANN401  (pydantic-ai's own HTTP client; the SDKs each have a name of their own for it)
    """An HTTP client that lets the limits hear what the provider says in its headers."""
    made = create_async_httpx2_client()
    made.event_hooks["response"].append(_hear)
    return made


def secret(key: SecretStr | None) -> str | None:
    """The text of a key."""
    return None if key is None else key.get_secret_value()
