"""The one door to every model."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import UUID

import psycopg
import structlog

from yeoul.core.llm.catalogue import Catalogue, Route
from yeoul.core.llm.connections import Connections
from yeoul.core.llm.errors import ModelError, ModelRateLimited, ModelTimeout
from yeoul.core.llm.limits import Limiter, Size, Turn
from yeoul.core.llm.observe import observed, observed_embedding
from yeoul.core.llm.own_keys import Held, kept_out
from yeoul.core.llm.providers.base import Connection, Provider
from yeoul.core.llm.schemas import (
    Completed,
    CompletionRequest,
    EmbeddingRequest,
    Embeddings,
    ModelInfo,
    TextDelta,
    Trouble,
)
from yeoul.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Retry:
    """How often a call is tried here, and how long it waits in between, in seconds.

    Only for hiccups: what needs longer than ``longest`` is left to the job's own retry, which survives a restart.
    """

    attempts: int = 3
    first: float = 0.5
    longest: float = 5

    def delay(self, attempt: int, error: ModelError) -> float | None:
        """Seconds to wait after the attempt of this number (from 1) failed; None: give up."""
        asked = error.retry_after or 0
        hiccup = error.retryable and not isinstance(error, ModelTimeout)  # minutes of silence are none
        if not hiccup or attempt >= self.attempts or asked > self.longest:
            return None
        backoff = min(self.first * 2.0 ** (attempt - 1), self.longest)
        return max(asked, backoff * random.uniform(0.5, 1))  # noqa: S311  (jitter, not a secret)


class Gateway:
    """Asks models. One per process; ``aclose`` ends its connections and the local model's process.

    Without a ``limiter`` it knows no limits and no breakers: they are kept in the database.

    ``key`` is everywhere a user's own key for the model's provider, and null for the installation's. A call with one
    has a connection that no other key shares, and takes no part in limits and breakers: they are of the installation's
    keys. No error, log or trace has it.
    """

    def __init__(self, settings: Settings, *, retry: Retry | None = None, limiter: Limiter | None = None) -> None:
        self._settings = settings
        self._limiter = limiter
        self._catalogue = Catalogue(settings)
        self._retry = retry or Retry()
        self._connections = Connections(settings)
        self._slots: dict[str, asyncio.Semaphore] = {}

    def models(self, held: Held | None = None) -> list[ModelInfo]:
        """Every listed model, those that whoever holds such keys can use first.

        The first call takes 0.7 s: make it off the event loop.
        """
        return self._catalogue.models(held)

    def provider(self, model: str, *, embeds: bool = False) -> Provider | None:
        """Whose model it is; null for an id that names nobody we know."""
        return self._catalogue.provider(model, embeds=embeds)

    def route(self, model: str, key: str | None = None) -> Route:
        """Where a model id (or ``default``) leads; raises ``UnknownModel`` or ``ModelNotReady``."""
        return self._catalogue.route(model, key)

    def check(self, request: CompletionRequest, key: str | None = None) -> Route:
        """Where a request would go, if it were sent now. Raises as ``route`` does, and ``ModelCannot``."""
        route = self._catalogue.route(request.model, key)
        self._catalogue.check(route, request)
        return route

    def default_embedding(self) -> str:
        """The id `default` stands for where embeddings are wanted."""
        return self._catalogue.default_embedding()

    def embedding_route(self, model: str, key: str | None = None) -> Route:
        """Where an id of a model for embeddings leads; raises a ``ModelError``."""
        return self._catalogue.embedding_route(model, key)

    async def embed(
        self, request: EmbeddingRequest, *, caller: UUID | None = None, key: str | None = None
    ) -> Embeddings:
        """Turns texts into vectors, some at a time. Raises a ``ModelError``; what may pass is tried again.

        ``caller`` is a job, which waits for its turn in the queue, as for ``stream``.
        """
        route = self.embedding_route(request.model, key)
        making = self._embed(route, request, caller, key if route.own_key else None)
        return await observed_embedding(making, route, request, self._settings)

    async def _embed(self, route: Route, request: EmbeddingRequest, caller: UUID | None, key: str | None) -> Embeddings:
        with kept_out(key):
            async with self._connections.use(route.provider, key) as connection:
                embed = await asyncio.to_thread(import_module, "yeoul.core.llm.embed")  # pydantic-ai, as below
                call = embed.Call(connection, route, request, seconds=self._settings.model_timeout_seconds)
                return await self._embed_all(call, route, caller)

    async def _embed_all(self, call: Any, route: Route, caller: UUID | None) -> Embeddings:  # noqa: ANN401  (embed.Call)
        attempt = 0
        while not call.done:
            attempt += 1
            turn = await self._turn(route, Size.of_texts(call.next_texts), caller)
            try:
                async with turn:
                    turn.completed(await call.some())
            except ModelError as error:
                if turn.rests and isinstance(error, ModelRateLimited):
                    error.retry_after = turn.rests
                delay = self._retry.delay(attempt, error)
                if turn.rests and caller is not None:
                    delay = 0  # the next turn is in the queue, and costs no attempt
                if delay is None:
                    raise
                log.warning("embedding tried again", model=route.id, attempt=attempt, code=error.code, wait=delay)
                await asyncio.sleep(delay)
            else:
                attempt = 0
        made: Embeddings = call.made()
        return made

    async def troubles(self) -> dict[str, Trouble]:
        """The models that take no calls for now or are waited for, by id; nothing while the database is away."""
        try:
            return {} if self._limiter is None else {found.model: found for found in await self._limiter.troubles()}
        except (psycopg.Error, OSError):
            return {}

    async def stream(
        self, request: CompletionRequest, *, caller: UUID | None = None, key: str | None = None
    ) -> AsyncGenerator[TextDelta | Completed]:
        """Asks a model: yields its text as it comes, and ``Completed`` last. Raises a ``ModelError``.

        ``caller`` is a job: when the model takes no calls for now, it has a place in the line, and the ``ModelHeld``
        raised says when its turn comes.

        What may pass is tried again, but never after the first piece of text. Cancelling the task that waits for the
        next item closes the connection to the provider at once; one that stops asking for items must close the
        generator: ``async with aclosing(gateway.stream(request)) as items``.
        """
        route = self.check(request, key)
        asking = self._ask(route, request, caller, key if route.own_key else None)
        async with aclosing(observed(asking, route, request, self._settings)) as items:
            async for item in items:
                yield item

    async def _ask(
        self, route: Route, request: CompletionRequest, caller: UUID | None, key: str | None
    ) -> AsyncGenerator[TextDelta | Completed]:
        with kept_out(key):
            async with (
                self._connections.use(route.provider, key) as connection,
                aclosing(self._ask_on(connection, route, request, caller)) as items,
            ):
                async for item in items:
                    yield item

    async def _ask_on(
        self, connection: Connection, route: Route, request: CompletionRequest, caller: UUID | None
    ) -> AsyncGenerator[TextDelta | Completed]:
        # Deferred: pydantic-ai takes over a second to import, and a process that only answers HTTP never needs it.
        call = await asyncio.to_thread(import_module, "yeoul.core.llm.call")
        async with self._slot(route.provider):  # waiting for a turn is not the model's silence: the clock starts after
            clock = call.Clock(total=self._settings.model_timeout_seconds, idle=self._settings.model_idle_seconds)
            await connection.model(route.model.name)  # may load for seconds: a turn is to be used at once
            attempt, begun = 0, False
            while True:
                attempt += 1
                turn = await self._turn(route, Size.of(request), caller)
                try:
                    async with turn, aclosing(call.attempt(connection, route, request, clock)) as items:
                        async for item in items:
                            begun = turn.begun = True
                            if isinstance(item, Completed):
                                turn.completed(item.usage)
                            yield item
                except ModelError as error:
                    if turn.rests and isinstance(error, ModelRateLimited):
                        error.retry_after = turn.rests
                    delay = None if begun else self._retry.delay(attempt, error)
                    if turn.rests and caller is not None and not begun:
                        delay = 0  # by now it takes no calls: the next turn is in the queue, and costs no attempt
                    if delay is None:
                        raise
                    log.warning("model call tried again", model=route.id, attempt=attempt, code=error.code, wait=delay)
                else:
                    return
                await asyncio.sleep(delay)

    async def complete(self, request: CompletionRequest, *, key: str | None = None) -> Completed:
        """Asks a model and waits for the whole answer. Raises a ``ModelError``."""
        async with aclosing(self.stream(request, key=key)) as items:
            async for item in items:
                if isinstance(item, Completed):
                    return item
        raise AssertionError("a stream that ends well ends with Completed")

    async def aclose(self) -> None:
        """Ends every connection, and the local model's process."""
        await self._connections.aclose()

    async def _turn(self, route: Route, size: Size, caller: UUID | None) -> Turn:
        if self._limiter is None or route.own_key:  # whose key it is, their limits: the provider says when
            return Turn()
        return await self._limiter.turn(route, size, caller)

    def _slot(self, provider: Provider) -> AbstractAsyncContextManager[object]:
        slots = provider.slots(self._settings)
        return nullcontext() if slots is None else self._slots.setdefault(provider.name, asyncio.Semaphore(slots))
