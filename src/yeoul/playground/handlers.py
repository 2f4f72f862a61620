"""Kind ``playground.iteration``: one model asked once. How it ended is written by the database (see migrations)."""

from contextlib import aclosing

from yeoul.core.llm.schemas import Completed, CompletionRequest, Parameters
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.playground import repository
from yeoul.playground.errors import PromptNotFound
from yeoul.playground.schemas import IterationInput


@handler("playground.iteration", timeout=1800, public=False)
async def iterate(ctx: Context, given: IterationInput) -> Completed:
    """Asks the model; the answer is streamed, unless the client wants it whole."""
    async with ctx.db() as session:
        prompt = await repository.prompt_of(session, given.execution_id)
    if prompt is None:  # deleted meanwhile
        raise PromptNotFound
    request = CompletionRequest.ask(
        prompt.user_prompt,
        model=given.model,
        system=prompt.system_prompt,
        parameters=Parameters.model_validate(prompt.parameters),
    )
    if given.stream:
        return await ctx.complete(request)
    async with aclosing(ctx.stream(request)) as parts:
        async for part in parts:
            if isinstance(part, Completed):
                return part
    raise AssertionError("a model's stream ends with what it used")
