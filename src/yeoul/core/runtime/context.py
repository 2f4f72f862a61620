"""What a handler is given: its job, ways to say what happens, steps, and the process's services."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar, overload
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.base.faultpoints import reach
from yeoul.core.events.schemas import RESERVED
from yeoul.core.jobs.attempt import Attempt, StepResult
from yeoul.core.jobs.flusher import Flusher
from yeoul.core.llm.schemas import Completed, CompletionRequest, EmbeddingRequest, Embeddings, TextDelta
from yeoul.core.runtime.services import Services

Result = TypeVar("Result")

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


class Context:
    """One attempt's hands. Every method may raise ``LostLease``: let it pass, the job is another worker's by then."""

    def __init__(
        self, attempt: Attempt, flusher: Flusher, services: Services, check: Callable[[Attempt], Awaitable[None]]
    ) -> None:
        self._attempt = attempt
        self._flusher = flusher
        self._check = check
        self.services = services

    @property
    def job_id(self) -> UUID:
        """The job's id."""
        return self._attempt.job_id

    @property
    def owner_id(self) -> UUID:
        """Whose job it is."""
        return self._attempt.owner_id

    @property
    def attempt(self) -> int:
        """Which try this is; 1 is the first."""
        return self._attempt.attempt

    async def text(self, delta: str) -> None:
        """Streams a piece of text."""
        if delta:
            self._attempt.say_text(delta)
            await self._flusher.said(self._attempt)

    async def emit(self, kind: str, data: object) -> None:
        """Streams an event of a type of your own, or ``component``. ``data`` is anything JSON can say, up to 256 KB.

        Raises ``ValueError`` for a type that is ours, or no word.
        """
        if kind in RESERVED or not _WORD.fullmatch(kind):
            raise ValueError(f"{kind!r} is no event type for a handler: give it a word of your own")
        await self._say(kind, data)

    async def progress(self, percent: float | None = None, message: str | None = None) -> None:
        """Says how far the job is; kept in the job's row too."""
        await self._say("progress", {"percent": percent, "message": message})

    async def check_lease(self) -> None:
        """Raises ``LostLease`` if the job is no longer this worker's. Call before anything that costs money."""
        await self._check(self._attempt)

    def db(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A transaction that sees the owner's rows only. Hold it briefly: never while waiting for a model."""
        return self.services.database.as_user(self.owner_id)

    @overload
    async def step(self, name: str, run: Callable[[], Awaitable[Result]], output: type[Result]) -> Result: ...
    @overload
    async def step(self, name: str, run: Callable[[], Awaitable[Any]]) -> Any: ...  # noqa: ANN401  (any JSON)
    async def step(self, name: str, run: Callable[[], Awaitable[Any]], output: Any = Any) -> Any:
        """Runs a named part once: its result is stored, and later attempts and retries take it from there.

        The result must be JSON, or a type that ``output`` names. Text streamed inside stays valid after a crash.
        """
        adapter: TypeAdapter[Any] = TypeAdapter(output)
        found = await self._flusher.step(self._attempt.root_id, name)
        if found is not None:
            await self._say("step", {"name": name, "status": "reused"})
            return adapter.validate_json(found)
        await self._say("step", {"name": name, "status": "started"})
        await self.check_lease()
        stored = json.dumps(await run())
        reach("step.run")
        self._attempt.say("step", {"name": name, "status": "finished"}, StepResult(name, stored))
        await self._flusher.settle(self._attempt)
        reach("step.stored")
        return adapter.validate_json(stored)

    async def _say(self, kind: str, data: object) -> None:
        self._attempt.say(kind, data)
        await self._flusher.said(self._attempt)

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[TextDelta | Completed]:
        """Calls a model as the job's owner, after making sure of the lease; close it (``aclosing``) to stop early.

        With the owner's own key of its provider, where they stored one and ``user_keys`` allows it.
        """
        await self.check_lease()
        key = await self.services.keys.key(self.owner_id, request.model)
        async with aclosing(self.services.gateway.stream(request, caller=self.job_id, key=key)) as parts:
            async for part in parts:
                yield part

    async def complete(self, request: CompletionRequest) -> Completed:
        """Calls a model, streaming its text as the job's, and says what it used."""
        async with aclosing(self.stream(request)) as parts:
            async for part in parts:
                if isinstance(part, TextDelta):
                    await self.text(part.text)
                else:
                    used = {"model", "usage", "cost", "time_ms", "first_token_ms"}
                    await self.emit("usage", part.model_dump(mode="json", include=used))
                    return part
        raise AssertionError("a model's stream ends with what it used")

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Turns texts into vectors as the job's owner, with the key that ``stream`` would use."""
        await self.check_lease()
        key = await self.services.keys.key(self.owner_id, request.model, embeds=True)
        return await self.services.gateway.embed(request, caller=self.job_id, key=key)

    async def embedding_model(self, model: str) -> str:
        """The full id of a model for embeddings, which `default` may be; raises a ``ModelError`` when it has none."""
        key = await self.services.keys.key(self.owner_id, model, embeds=True)
        return self.services.gateway.embedding_route(model, key).id
