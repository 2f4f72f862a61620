"""Google's Gemini, by the Gemini API."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters, StreamedResponse, create_async_httpx2_client
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.settings import ModelSettings

from yeoul.core.llm.providers.sdk import SdkConnection, secret
from yeoul.settings import Settings


class _Closable(Protocol):
    async def aclose(self) -> None: ...


_opened: ContextVar[AsyncExitStack | None] = ContextVar("gemini_responses", default=None)


async def _note(response: _Closable) -> None:
    if (stack := _opened.get()) is not None:
        stack.push_async_callback(response.aclose)


class _GeminiModel(GoogleModel):
    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        # Who leaves a stream of the SDK early leaves its connection open until the garbage collector comes by: its
        # generators hold one another. So the responses of a call are noted as they open, and closed with it.
        async with AsyncExitStack() as responses:
            _opened.set(responses)
            async with super().request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                yield stream


def connect(settings: Settings) -> SdkConnection:
    """Opens Gemini."""
    client = create_async_httpx2_client()
    client.event_hooks["response"].append(_note)
    provider = GoogleProvider(
        api_key=secret(settings.gemini_api_key), base_url=settings.gemini_base_url or None, http_client=client
    )
    return SdkConnection(settings, provider, lambda name: _GeminiModel(name, provider=provider), http=client)
