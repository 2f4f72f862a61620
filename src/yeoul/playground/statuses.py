"""How an execution stands: its results, what has not ended, and the numbers."""

from collections import defaultdict
from itertools import product
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.jobs.tables import Job
from yeoul.playground import repository
from yeoul.playground.errors import NeverExecuted, PromptNotFound
from yeoul.playground.schemas import (
    CheckTally,
    ExecutionOut,
    ModelStatistics,
    Pending,
    ResultOut,
    StatusOut,
)
from yeoul.playground.tables import Execution

Lane = tuple[UUID, int, int, str]
"""One iteration's first job, its number, its case's, and the model."""


async def execution(session: AsyncSession, either: UUID) -> Execution:
    """An execution by its id, or the latest of a prompt; raises ``PromptNotFound`` or ``NeverExecuted``."""
    found = await repository.execution(session, either)
    if found is None:
        raise PromptNotFound if await repository.prompt(session, either) is None else NeverExecuted
    return found


async def status(session: AsyncSession, either: UUID) -> StatusOut:
    """How an execution stands, by its id or its prompt's. Raises as ``execution`` does."""
    return await status_of(session, await execution(session, either))


async def status_of(session: AsyncSession, found: Execution) -> StatusOut:
    """How an execution stands."""
    waiting = await repository.unfinished(session, found.job_ids)  # first: what ends meanwhile has a result by then
    results = await repository.results(session, found.id)
    for result in results:
        if result.id in waiting and waiting[result.id].id == result.job_id:
            del waiting[result.id]
    return StatusOut(
        execution_id=found.id,
        prompt_id=found.prompt_id,
        status=ExecutionOut.model_validate(found).status,
        execution=await shown(session, found),
        results=[ResultOut.model_validate(one) for one in results],
        pending=await _pending(session, found, waiting),
        statistics=await _statistics(session, found),
    )


async def shown(session: AsyncSession, found: Execution) -> ExecutionOut:
    """An execution with its cases."""
    cases = await repository.cases(session, found.id) if found.case_count else []
    return ExecutionOut.model_validate(found).model_copy(update={"cases": cases})


async def _statistics(session: AsyncSession, found: Execution) -> list[ModelStatistics]:
    numbers = {row["model"]: row for row in await repository.statistics(session, found.id)}
    tallies: dict[str, list[CheckTally]] = defaultdict(list)
    for row in await repository.tallies(session, found.id) if found.checks else []:
        tallies[row.model].append(CheckTally(name=row.name, passed=row.passed, of=row.of))
    return [
        ModelStatistics.model_validate({**numbers[model], "checks": tallies[model]})
        for model in found.models
        if model in numbers
    ]


async def _pending(session: AsyncSession, found: Execution, waiting: dict[UUID, Job]) -> list[Pending]:
    lengths = await repository.characters(session, [job.id for job in waiting.values() if job.status == "running"])
    return [
        Pending.model_validate(
            {
                **{name: getattr(job, name) for name in ("status", "attempt", "progress", "error", "started_at")},
                "job_id": job.id,
                "iteration_number": iteration,
                "case_number": case,
                "model": model,
                "characters": lengths.get(job.id, 0),
            }
        )
        for job_id, iteration, case, model in lanes(found)
        if (job := waiting.get(job_id)) is not None
    ]


def lanes(found: Execution) -> list[Lane]:
    """The iterations of an execution, in the order they are asked."""
    each = iterations(found)
    return [(job_id, *asked) for job_id, asked in zip(found.job_ids, each, strict=True)]


def iterations(found: Execution) -> list[tuple[int, int, str]]:
    """What is asked: iteration by iteration, so that every case is asked once before one is asked twice."""
    cases = range(1, max(found.case_count, 1) + 1)
    return list(product(range(1, found.iterations + 1), cases, found.models))
