"""Turning texts into vectors, through pydantic-ai. Imported on first use: pydantic-ai takes over a second."""

import asyncio
import time
from array import array
from decimal import Decimal

from pydantic_ai.embeddings import EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.result import EmbedInputType

from yeoul.core.llm import failures
from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.errors import ContextTooLong, ModelTimeout, ModelUnavailable, RequestRejected
from yeoul.core.llm.providers.base import Connection
from yeoul.core.llm.schemas import Cost, EmbeddingRequest, Embeddings, Usage

AT_A_TIME = 256
"""Texts of one request to a provider. Their vectors are Python floats for a moment: 25 MB for 3,072 numbers each."""


class Call:
    """One request, asked piece by piece: ``some`` until ``done``, then ``made``. A piece that failed may be repeated.

    ``seconds`` is for the whole of it.
    """

    def __init__(self, connection: Connection, route: Route, request: EmbeddingRequest, *, seconds: float) -> None:
        if request.dimensions is not None and "dimensions" not in route.provider.honours(route.model):
            if request.dimensions != route.model.dimensions:
                raise RequestRejected(
                    f"The vectors of `{route.id}` have {route.model.dimensions} dimensions, and no other number.",
                    model=route.id,
                )
            request = request.model_copy(update={"dimensions": None})
        if route.model.dimensions is not None and (request.dimensions or 0) > route.model.dimensions:
            raise RequestRejected(
                f"The vectors of `{route.id}` have {route.model.dimensions} dimensions at most.", model=route.id
            )
        self._connection = connection
        self._route = route
        self._request = request
        self._seconds = seconds
        self._began = time.monotonic()
        self._vectors: list[array[float]] = []
        self._tokens: int | None = 0
        self._usd: Decimal | None = Decimal(0)

    @property
    def done(self) -> bool:
        """Whether every text has its vector."""
        return len(self._vectors) == len(self._request.texts)

    @property
    def next_texts(self) -> list[str]:
        """What ``some`` asks for."""
        return self._request.texts[len(self._vectors) : len(self._vectors) + AT_A_TIME]

    async def some(self) -> Usage | None:
        """Gets the next vectors; returns what they used, null when nobody said. Raises a ``ModelError``."""
        texts = self.next_texts
        who = self._route.provider.title
        try:
            async with asyncio.timeout(self._began + self._seconds - time.monotonic()):
                result = await self._ask(texts)
        except TimeoutError:
            raise ModelTimeout(
                f"{who} took longer than {self._seconds:g} seconds. Send fewer texts, or raise "
                "YEOUL_MODEL_TIMEOUT_SECONDS.",
                model=self._route.id,
            ) from None
        vectors = [vector if isinstance(vector, array) else array("f", vector) for vector in result.embeddings]
        if len(vectors) != len(texts) or not all(vectors):
            raise ModelUnavailable(
                f"{who} gave {sum(map(bool, vectors))} vectors for {len(texts)} texts. Try again.", model=self._route.id
            )
        if self._request.dimensions not in (None, len(vectors[0])):
            raise RequestRejected(
                f"`{self._route.id}` makes vectors of {len(vectors[0])} dimensions, whatever it is asked. Leave "
                "`dimensions` out.",
                model=self._route.id,
            )
        self._vectors += vectors
        self._count(result)
        tokens = result.usage.input_tokens
        return Usage(input_tokens=tokens, output_tokens=0) if tokens else None

    def made(self) -> Embeddings:
        """All vectors."""
        elapsed = round((time.monotonic() - self._began) * 1000)
        return Embeddings(self._vectors, self._tokens, Cost(usd=self._usd), self._route.id, elapsed)

    async def _ask(self, texts: list[str]) -> EmbeddingResult:
        asked = self._request.input_type
        settings = EmbeddingSettings()
        if self._request.dimensions is not None:
            settings["dimensions"] = self._request.dimensions
        if asked is not None and self._route.provider.passes_input_type:
            settings["extra_body"] = {"input_type": asked}
        try:
            with failures.mapped(self._route):
                model = await self._connection.embedder(self._route.model.name)
                kind: EmbedInputType = "query" if asked in (None, "query") else "document"
                return await model.embed(texts, input_type=kind, settings=settings)
        except ContextTooLong as error:
            if "conversation" not in error.detail:
                raise
            words = f"A text is longer than `{self._route.id}` can read. Cut it into passages."
            raise ContextTooLong(words, model=self._route.id) from error
        except ValueError as error:  # the SDK's word for an answer without vectors
            raise ModelUnavailable(
                f"{self._route.provider.title} gave no vectors: {error}", model=self._route.id
            ) from error

    def _count(self, result: EmbeddingResult) -> None:
        """Adds up tokens and cost; one part that nobody knows makes the sum unknown."""
        tokens = result.usage.input_tokens
        self._tokens = None if self._tokens is None or not tokens else self._tokens + tokens
        if self._route.provider.free or self._usd is None:
            return
        if self._route.provider.price_list is None:
            self._usd = None
            return
        try:
            self._usd += result.cost().total_price
        except (LookupError, ValueError):
            self._usd = None
