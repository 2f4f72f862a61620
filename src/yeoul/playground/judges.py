"""Asking the judges of one answer: each question once, whatever happens to the worker, and nothing of it streamed."""

import hashlib
from contextlib import aclosing

from yeoul.core.llm.errors import ModelHeld
from yeoul.core.llm.schemas import Completed, CompletionRequest
from yeoul.core.runtime.context import Context
from yeoul.playground.schemas import Judging


class Judges:
    """The judges of one answer, and what they have used."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._said: list[Completed] = []
        self._held: list[ModelHeld] = []

    async def ask(self, request: CompletionRequest) -> str:
        """Asks a judge, or takes what it said to an earlier attempt. Raises a ``ModelError``."""

        async def run() -> Completed:
            async with aclosing(self._ctx.stream(request)) as parts:
                async for part in parts:
                    if isinstance(part, Completed):
                        return part
            raise AssertionError("a model's stream ends with what it used")

        name = hashlib.sha256(request.model_dump_json().encode()).hexdigest()[:16]
        try:
            said = await self._ctx.step(f"judge {name}", run, Completed)
        except ModelHeld as error:
            self._held.append(error)
            raise
        self._said.append(said)
        return said.text

    def done(self) -> Judging | None:
        """What they have used; null when nobody was asked.

        Raises ``ModelHeld`` where one takes no questions for now: the job waits for it, and the answer with it.
        """
        if self._held:
            raise max(self._held, key=lambda error: error.retry_after or 0)
        if not self._said:
            return None
        usages = [one.usage for one in self._said]
        costs = [one.cost.usd for one in self._said]
        return Judging(
            input=None if None in usages else sum(one.input_tokens for one in usages if one is not None),
            output=None if None in usages else sum(one.output_tokens for one in usages if one is not None),
            cost_usd=None if None in costs else sum(one for one in costs if one is not None),
        )
