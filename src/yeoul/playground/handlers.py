"""Kind ``playground.iteration``: one model asked once, and its answer checked. How it ended is written by the database.

With a judge among the checks, the answer and every verdict are steps: a worker that dies while an answer is judged has
neither asked nor paid for again, and what the answer has streamed stays.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal

from yeoul.core.llm.schemas import Completed, CompletionRequest, Message, Parameters
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.playground import checks, repository
from yeoul.playground.cases import fill
from yeoul.playground.checks import Check, CheckResult, JudgeCheck
from yeoul.playground.errors import AnswerTimeout, CostCapReached, PromptNotFound
from yeoul.playground.judges import Judges
from yeoul.playground.requests import CHECKS, LONGEST_TIMEOUT, IterationInput
from yeoul.playground.schemas import Judging


class Answered(Completed):
    """An answer and what its checks found. ``cost_usd``: of it and its judges; null when one of them is unknown."""

    checks: list[CheckResult]
    judging: Judging | None
    cost_usd: Decimal | None


@dataclass(frozen=True)
class _Task:
    request: CompletionRequest
    values: Mapping[str, str]
    checks: list[Check]
    timeout: int | None
    most: Decimal | None


@handler("playground.iteration", timeout=LONGEST_TIMEOUT + 600, public=False)
async def iterate(ctx: Context, given: IterationInput) -> Answered:
    """Asks the model, then checks what it said. The answer is streamed, unless the client wants it whole."""
    task = await _task(ctx, given)

    async def ask() -> Completed:
        return await _answer(ctx, given, task)

    judged = any(isinstance(check, JudgeCheck) for check in task.checks)
    answer = await ctx.step("answer", ask, Completed) if judged else await ask()
    judges = Judges(ctx)
    found = await checks.run(task.checks, answer.text, task.values, judges.ask)
    judging = judges.done()
    costs = [answer.cost.usd, *([] if judging is None else [judging.cost_usd])]
    total = None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))
    return Answered(**answer.model_dump(), checks=found, judging=judging, cost_usd=total)


async def _task(ctx: Context, given: IterationInput) -> _Task:
    async with ctx.db() as session:
        found = await repository.execution_with_prompt(session, given.execution_id)
        if found is None:  # deleted meanwhile
            raise PromptNotFound
        execution, prompt = found
        values = await repository.case(session, execution.id, given.case_number) or {}
        images = await repository.pictures(session, prompt)
    request = CompletionRequest(
        model=given.model,
        messages=[Message(role="user", content=fill(prompt.user_prompt, values))],
        system=None if prompt.system_prompt is None else fill(prompt.system_prompt, values),
        parameters=Parameters.model_validate(prompt.parameters),
        response_schema=prompt.response_schema,
        images=images,
    )
    asked = CHECKS.validate_python(execution.checks)
    return _Task(request, values, asked, execution.timeout_seconds, execution.max_cost_usd)


async def _answer(ctx: Context, given: IterationInput, task: _Task) -> Completed:
    if task.most is not None:
        async with ctx.db() as session:
            spent = await repository.spent(session, given.execution_id)
        if spent >= task.most:
            raise CostCapReached(
                f"The execution's results have cost {spent} US dollars, and {task.most} is the most it may. "
                "Execute the prompt again with a higher `max_cost_usd` for the rest."
            )
    clock = asyncio.timeout(task.timeout)
    try:
        async with clock:
            return await (ctx.complete(task.request) if given.stream else _whole(ctx, task.request))
    except TimeoutError:
        if not clock.expired():
            raise
        raise AnswerTimeout(
            f"The answer was not there after {task.timeout} seconds, the `timeout_seconds` of this execution."
        ) from None


async def _whole(ctx: Context, request: CompletionRequest) -> Completed:
    async with aclosing(ctx.stream(request)) as parts:
        async for part in parts:
            if isinstance(part, Completed):
                return part
    raise AssertionError("a model's stream ends with what it used")
