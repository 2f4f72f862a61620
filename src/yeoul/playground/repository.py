"""The playground's SQL."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, RowMapping, and_, func, insert, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from yeoul.core.jobs.tables import Job
from yeoul.core.llm.images import Image as Picture
from yeoul.playground.tables import Case, Execution, Image, Prompt, Result

_CANCEL = text("SELECT id, status FROM yeoul.playground_cancel(:id)")
_DELETE = text("SELECT id, status FROM yeoul.playground_delete(:id)")

_SPANS = text("""
    SELECT stream_id, min(seq) - 1 AS base, max(seq) AS last FROM yeoul.events
    WHERE stream_id = ANY (:ids) GROUP BY stream_id
""")

# What a later attempt says goes in place of what an earlier one said, but for what a finished step had said.
_CHARACTERS = text("""
    SELECT e.stream_id, sum(length(e.data ->> 'delta'))::int AS characters FROM yeoul.events e
    WHERE e.stream_id = ANY (:ids) AND e.type = 'text' AND NOT EXISTS (
        SELECT FROM yeoul.events r WHERE r.stream_id = e.stream_id AND r.type = 'retrying' AND r.seq > e.seq
            AND e.seq > (r.data ->> 'void_after')::bigint)
    GROUP BY e.stream_id
""")

# Answers agree with others to the same case: the most frequent one of each case, over all answers.
_STATISTICS = text("""
    WITH r AS (
        SELECT *, status = 'completed' AS good,
               count(*) OVER (PARTITION BY model, status, case_number, md5(response_text)) AS same,
               NOT jsonb_path_exists(checks, '$[*] ? (@.passed != true)') AS passed
        FROM yeoul.playground_results WHERE execution_id = :id
    ), agreeing AS (
        SELECT model, sum(most)::float8 / sum(answers) AS agreement
        FROM (SELECT model, max(same) AS most, count(*) AS answers FROM r WHERE good GROUP BY model, case_number) c
        GROUP BY model
    )
    SELECT r.model, count(*) AS count, count(*) FILTER (WHERE good) AS completed,
           count(*) FILTER (WHERE NOT good) AS errors,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE good) AS p50_ms,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE good) AS p95_ms,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY first_token_ms) FILTER (WHERE good) AS first_token_ms,
           sum((tokens_used ->> 'input')::bigint) AS input_tokens,
           sum((tokens_used ->> 'output')::bigint) AS output_tokens,
           sum(cost_usd) AS cost_usd,
           a.agreement,
           CASE WHEN bool_or(checks <> '[]') THEN
               (count(*) FILTER (WHERE good AND passed))::float8 / nullif(count(*) FILTER (WHERE good), 0)
           END AS pass_rate
    FROM r LEFT JOIN agreeing a ON a.model = r.model
    GROUP BY r.model, a.agreement
""")

_TALLIES = text("""
    SELECT r.model, c ->> 'name' AS name, count(*) FILTER (WHERE c -> 'passed' = 'true') AS passed, count(*) AS of
    FROM yeoul.playground_results r CROSS JOIN LATERAL jsonb_array_elements(r.checks) WITH ORDINALITY x(c, n)
    WHERE r.execution_id = :id AND r.status = 'completed' GROUP BY 1, 2 ORDER BY min(x.n)
""")

_SPENT = text("SELECT sum(cost_usd) FROM yeoul.playground_results WHERE execution_id = :id")

_LOCK_FAMILY = text("SELECT pg_advisory_xact_lock(hashtextextended('playground family ' || :family_id, 0))")

_COPY_CASES = text("""
    INSERT INTO yeoul.playground_cases (execution_id, number, owner_id, given)
    SELECT :made, number, owner_id, given FROM yeoul.playground_cases WHERE execution_id = :before
""")


_ORDER = (Result.iteration_number, Result.case_number, Result.model)


async def prompt(session: AsyncSession, prompt_id: UUID) -> Prompt | None:
    """One prompt."""
    return await session.get(Prompt, prompt_id)


async def lock_family(session: AsyncSession, family_id: UUID) -> None:
    """Has everybody else who gives versions numbers or labels wait until the transaction ends."""
    await session.execute(_LOCK_FAMILY, {"family_id": str(family_id)})


async def next_version(session: AsyncSession, family_id: UUID) -> int:
    """The number of a family's next version; until the transaction ends, nobody else gets one."""
    await lock_family(session, family_id)
    last = await session.scalar(select(func.max(Prompt.version)).where(Prompt.family_id == family_id))
    return (last or 0) + 1


async def image(session: AsyncSession, prompt_id: UUID, number: int) -> Image | None:
    """The data of a prompt's image."""
    return await session.get(Image, (prompt_id, number))


async def pictures(session: AsyncSession, found: Prompt) -> list[Picture]:
    """A prompt's images, in their order."""
    if not found.images:
        return []
    data = await session.scalars(select(Image.data).where(Image.prompt_id == found.id).order_by(Image.number))
    return [
        Picture(media_type=shown["media_type"], data=one) for shown, one in zip(found.images, data.all(), strict=True)
    ]


async def prompt_of(session: AsyncSession, execution_id: UUID) -> Prompt | None:
    """The prompt of an execution."""
    found: Prompt | None = await session.scalar(select(Prompt).join(Execution).where(Execution.id == execution_id))
    return found


async def execution_with_prompt(session: AsyncSession, execution_id: UUID) -> tuple[Execution, Prompt] | None:
    """An execution and its prompt."""
    query = select(Execution, Prompt).join(Prompt, Prompt.id == Execution.prompt_id).where(Execution.id == execution_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


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
                Prompt.name.icontains(search, autoescape=True),
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


async def delete_prompt(session: AsyncSession, prompt_id: UUID) -> list[tuple[UUID, str]]:
    """Deletes a prompt with its executions and results, and its jobs that have ended; the others, canceled now."""
    return [(row.id, row.status) for row in await session.execute(_DELETE, {"id": prompt_id})]


async def cancel(session: AsyncSession, execution_id: UUID) -> list[tuple[UUID, str]]:
    """Cancels what is left of an execution; those jobs with their statuses after it."""
    return [(row.id, row.status) for row in await session.execute(_CANCEL, {"id": execution_id})]


async def results(session: AsyncSession, execution_id: UUID) -> Sequence[Result]:
    """An execution's results, in order."""
    query = (
        select(Result)
        .where(Result.execution_id == execution_id)
        .order_by(Result.iteration_number, Result.case_number, func.array_position(_models(execution_id), Result.model))
    )
    return (await session.scalars(query)).all()


def _models(execution_id: UUID) -> Any:  # noqa: ANN401  (a scalar sub-select of an array)
    return select(Execution.models).where(Execution.id == execution_id).scalar_subquery()


async def results_by_id(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Result]:
    """Some results by their ids."""
    return {one.id: one for one in await session.scalars(select(Result).where(Result.id.in_(ids)))}


async def executions_after(
    session: AsyncSession, either: UUID, after: UUID | None, limit: int, *columns: InstrumentedAttribute[Any]
) -> list[Row[Any]]:
    """The execution of this id, or those of the prompt of this id after one, oldest first: ``id`` and these columns."""
    query = select(Execution.id, *columns).where(or_(Execution.id == either, Execution.prompt_id == either))
    if after is not None:
        query = query.where(Execution.id > after)
    return list(await session.execute(query.order_by(Execution.id).limit(limit)))


async def results_after(
    session: AsyncSession, execution_id: UUID, after: tuple[int, int, str] | None, limit: int
) -> Sequence[Result]:
    """An execution's results in the order of iteration, case and model, after one."""
    query = select(Result).where(Result.execution_id == execution_id).order_by(*_ORDER).limit(limit)
    if after is not None:
        query = query.where(tuple_(*_ORDER) > tuple_(*after))
    return (await session.scalars(query)).all()


async def statistics(session: AsyncSession, execution_id: UUID) -> Sequence[RowMapping]:
    """The results of each model in numbers."""
    return (await session.execute(_STATISTICS, {"id": execution_id})).mappings().all()


async def tallies(session: AsyncSession, execution_id: UUID) -> list[Row[Any]]:
    """How many answers of each model passed each check."""
    return list(await session.execute(_TALLIES, {"id": execution_id}))


async def spent(session: AsyncSession, execution_id: UUID) -> Decimal:
    """What an execution's results have cost, as far as that is known."""
    return await session.scalar(_SPENT, {"id": execution_id}) or Decimal(0)


async def add_cases(session: AsyncSession, found: Execution, cases: Sequence[dict[str, str]]) -> None:
    """Adds an execution's cases."""
    rows = [
        {"execution_id": found.id, "number": number, "owner_id": found.owner_id, "given": case}
        for number, case in enumerate(cases, 1)
    ]
    await session.execute(insert(Case), rows)


async def copy_cases(session: AsyncSession, before: UUID, made: UUID) -> None:
    """Gives an execution the cases of another."""
    await session.execute(_COPY_CASES, {"before": before, "made": made})


async def case(session: AsyncSession, execution_id: UUID, number: int) -> dict[str, str] | None:
    """One case of an execution; null when it has none of this number."""
    found = await session.get(Case, (execution_id, number))
    return None if found is None else found.given


async def cases_by_number(
    session: AsyncSession, execution_id: UUID, numbers: Collection[int]
) -> dict[int, dict[str, str]]:
    """Some of an execution's cases."""
    if not numbers:
        return {}
    query = select(Case.number, Case.given).where(Case.execution_id == execution_id, Case.number.in_(numbers))
    return {row.number: row.given for row in await session.execute(query)}


async def cases(session: AsyncSession, execution_id: UUID) -> list[dict[str, str]]:
    """An execution's cases, in their order."""
    query = select(Case.given).where(Case.execution_id == execution_id).order_by(Case.number)
    return list((await session.scalars(query)).all())


async def iteration(session: AsyncSession, found: Execution, either: UUID) -> Job | None:
    """The latest job of one of an execution's iterations, by the iteration's id or a job's of it."""
    query = select(Job).where(Job.root_id.in_(select(Job.root_id).where(or_(Job.id == either, Job.root_id == either))))
    found_jobs = await session.scalars(query.where(Job.root_id.in_(found.job_ids)).order_by(Job.id.desc()).limit(1))
    return found_jobs.one_or_none()


async def unfinished(session: AsyncSession, firsts: Sequence[UUID]) -> dict[UUID, Job]:
    """Jobs that have not ended, by the first ones of their iterations: a retry in the place of what it repeats."""
    retries = and_(Job.root_id.in_(firsts), Job.root_id != Job.id)
    query = select(Job).where(Job.finished_at.is_(None), or_(Job.id.in_(firsts), retries)).order_by(Job.id)
    return {job.root_id: job for job in await session.scalars(query)}


async def characters(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How long the answers of running jobs are so far."""
    return {row.stream_id: row.characters for row in await session.execute(_CHARACTERS, {"ids": list(ids)})}


async def spans(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """What the streams of some jobs begin after, and their last seqs; those without events left out."""
    return {row.stream_id: (row.base, row.last) for row in await session.execute(_SPANS, {"ids": list(ids)})}
