"""The playground's SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.jobs.tables import Job
from yeoul.playground.tables import Execution, Prompt, Result

_CANCEL = text("SELECT id, status FROM yeoul.playground_cancel(:id)")

_SPANS = text("""
    SELECT stream_id, min(seq) - 1 AS base, max(seq) AS last FROM yeoul.events
    WHERE stream_id = ANY (:ids) GROUP BY stream_id
""")

# What a later attempt says goes in place of what an earlier one said.
_CHARACTERS = text("""
    SELECT e.stream_id, sum(length(e.data ->> 'delta'))::int AS characters FROM yeoul.events e
    WHERE e.stream_id = ANY (:ids) AND e.type = 'text'
        AND e.seq > coalesce((SELECT max(r.seq) FROM yeoul.events r
                              WHERE r.stream_id = e.stream_id AND r.type = 'retrying'), 0)
    GROUP BY e.stream_id
""")

_STATISTICS = text("""
    SELECT model, count(*) AS count, count(*) FILTER (WHERE status = 'completed') AS completed,
           count(*) FILTER (WHERE status = 'error') AS errors,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE status = 'completed') AS p50_ms,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE status = 'completed') AS p95_ms,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY first_token_ms) FILTER (WHERE status = 'completed')
               AS first_token_ms,
           sum((tokens_used ->> 'input')::bigint) AS input_tokens,
           sum((tokens_used ->> 'output')::bigint) AS output_tokens,
           sum(cost_usd) AS cost_usd, max(same)::float8 / nullif(count(*) FILTER (WHERE status = 'completed'), 0)
               AS agreement
    FROM (SELECT *, count(*) FILTER (WHERE status = 'completed')
                      OVER (PARTITION BY model, status, md5(response_text)) AS same
          FROM yeoul.playground_results WHERE execution_id = :id) r
    GROUP BY model
""")


async def prompt(session: AsyncSession, prompt_id: UUID) -> Prompt | None:
    """One prompt."""
    return await session.get(Prompt, prompt_id)


async def prompt_of(session: AsyncSession, execution_id: UUID) -> Prompt | None:
    """The prompt of an execution."""
    found: Prompt | None = await session.scalar(select(Prompt).join(Execution).where(Execution.id == execution_id))
    return found


async def execution(session: AsyncSession, either: UUID) -> Execution | None:
    """The execution of this id, or the latest one of the prompt of this id."""
    found: Execution | None = await session.scalar(
        select(Execution)
        .where(or_(Execution.id == either, Execution.prompt_id == either))
        .order_by(Execution.id.desc())
        .limit(1)
    )
    return found


async def executions(session: AsyncSession, prompt_id: UUID, limit: int) -> Sequence[Execution]:
    """A prompt's executions, newest first."""
    query = select(Execution).where(Execution.prompt_id == prompt_id).order_by(Execution.id.desc()).limit(limit)
    return (await session.scalars(query)).all()


async def history(
    session: AsyncSession, *, search: str | None, before: UUID | None, limit: int
) -> list[tuple[Prompt, Execution | None]]:
    """The newest prompts before a cursor, each with its latest execution; those that hold some words."""
    query = select(Prompt).order_by(Prompt.id.desc()).limit(limit)
    if search:
        query = query.where(
            or_(
                Prompt.user_prompt.icontains(search, autoescape=True),
                Prompt.system_prompt.icontains(search, autoescape=True),
                Prompt.selected_model.icontains(search, autoescape=True),
            )
        )
    if before is not None:
        query = query.where(Prompt.id < before)
    prompts = (await session.scalars(query)).all()
    latest = await session.scalars(
        select(Execution)
        .where(Execution.prompt_id.in_([one.id for one in prompts]))
        .ext(distinct_on(Execution.prompt_id))
        .order_by(Execution.prompt_id, Execution.id.desc())
    )
    by_prompt = {one.prompt_id: one for one in latest}
    return [(one, by_prompt.get(one.id)) for one in prompts]


async def delete_prompt(session: AsyncSession, prompt_id: UUID) -> None:
    """Deletes a prompt with its executions and results."""
    await session.execute(delete(Prompt).where(Prompt.id == prompt_id))


async def cancel(session: AsyncSession, execution_id: UUID) -> list[tuple[UUID, str]]:
    """Cancels what is left of an execution; its jobs with their statuses after it."""
    return [(row.id, row.status) for row in await session.execute(_CANCEL, {"id": execution_id})]


async def results(session: AsyncSession, execution_id: UUID) -> Sequence[Result]:
    """An execution's results, in order."""
    query = (
        select(Result)
        .where(Result.execution_id == execution_id)
        .order_by(Result.iteration_number, func.array_position(_models(execution_id), Result.model))
    )
    return (await session.scalars(query)).all()


def _models(execution_id: UUID) -> Any:  # noqa: ANN401  (a scalar sub-select of an array)
    return select(Execution.models).where(Execution.id == execution_id).scalar_subquery()


async def results_by_id(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Result]:
    """Some results by their ids."""
    return {one.id: one for one in await session.scalars(select(Result).where(Result.id.in_(ids)))}


async def execution_ids(session: AsyncSession, prompt_id: UUID) -> Sequence[UUID]:
    """Every execution of a prompt, oldest first."""
    query = select(Execution.id).where(Execution.prompt_id == prompt_id).order_by(Execution.id)
    return (await session.scalars(query)).all()


async def results_after(
    session: AsyncSession, execution_id: UUID, after: tuple[int, str] | None, limit: int
) -> Sequence[Result]:
    """An execution's results in the order of iteration and model, after one."""
    query = (
        select(Result)
        .where(Result.execution_id == execution_id)
        .order_by(Result.iteration_number, Result.model)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Result.iteration_number, Result.model) > tuple_(*after))
    return (await session.scalars(query)).all()


async def statistics(session: AsyncSession, execution_id: UUID) -> list[Row[Any]]:
    """The results of each model in numbers."""
    return list(await session.execute(_STATISTICS, {"id": execution_id}))


async def unfinished(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Job]:
    """Those of some jobs that have not ended."""
    found = await session.scalars(select(Job).where(Job.id.in_(ids), Job.finished_at.is_(None)))
    return {job.id: job for job in found}


async def characters(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How long the answers of running jobs are so far."""
    return {row.stream_id: row.characters for row in await session.execute(_CHARACTERS, {"ids": list(ids)})}


async def spans(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """What the streams of some jobs begin after, and their last seqs; those without events left out."""
    return {row.stream_id: (row.base, row.last) for row in await session.execute(_SPANS, {"ids": list(ids)})}
