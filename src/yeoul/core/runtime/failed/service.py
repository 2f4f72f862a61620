"""Failed jobs: looking through them, and retrying many at once, each as its owner and each only once."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.errors import AdminOnly
from yeoul.core.auth.principal import Principal
from yeoul.core.base.errors import YeoulError
from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.core.jobs.schemas import JobError, JobOut
from yeoul.core.runtime import submit
from yeoul.core.runtime.failed import repository
from yeoul.core.runtime.failed.schemas import (
    COUNTED,
    FailedGroup,
    FailedGroups,
    FailedJob,
    Filter,
    Retried,
    RetriedMany,
    RetryMany,
)
from yeoul.core.runtime.services import Services

IN_ONE_TRANSACTION = 50
"""Jobs retried together: a request of 500 holds no row for long."""


async def listing(
    services: Services, principal: Principal, given: Filter, *, cursor: str | None, limit: int
) -> Page[FailedJob]:
    """A page of failed jobs that nobody has retried, newest first; raises ``AdminOnly``."""
    async with _scope(services, principal, everyone=given.everyone) as session:
        rows = await repository.listing(
            session,
            owner_id=None if given.everyone else principal.user_id,
            kind=given.kind,
            code=given.code,
            before=decode_cursor(cursor),
            limit=limit + 1,
        )
    shown = [FailedJob(**JobOut.model_validate(job).model_dump(), owner=owner) for job, owner in rows]
    return page(shown, limit, [job.id for job, _ in rows])


async def groups(services: Services, principal: Principal, *, everyone: bool) -> FailedGroups:
    """Failed jobs that nobody has retried, by kind and error; raises ``AdminOnly``."""
    async with _scope(services, principal, everyone=everyone) as session:
        rows = await repository.groups(session, owner_id=None if everyone else principal.user_id, most=COUNTED)
    found = [FailedGroup(kind=r.kind, code=r.code, jobs=r.jobs, newest=r.newest, message=r.message or "") for r in rows]
    total = sum(group.jobs for group in found)
    return FailedGroups(groups=found, jobs=total, capped=total >= COUNTED)


async def retry_many(services: Services, principal: Principal, asked: RetryMany) -> RetriedMany:
    """Submits jobs again, as their owners; one that has been retried is not retried again. Raises ``AdminOnly``.

    Each batch commits by itself: asking again after a failure midway does the rest.
    """
    ids = list(dict.fromkeys(asked.ids or [])) or await _filtered(services, principal, asked)
    if principal.is_admin:
        async with services.database.as_service("an administrator retries others' jobs: whose are they?") as session:
            owners = await repository.owners(session, ids)
    else:
        owners = dict.fromkeys(ids, principal.user_id)
    by_owner: dict[UUID, list[UUID]] = defaultdict(list)
    for job_id in ids:
        by_owner[owners.get(job_id, principal.user_id)].append(job_id)
    results: dict[UUID, Retried] = {}
    for owner_id, theirs in by_owner.items():
        for start in range(0, len(theirs), IN_ONE_TRANSACTION):
            for result in await _batch(services, owner_id, theirs[start : start + IN_ONE_TRANSACTION]):
                results[result.id] = result
    return RetriedMany(
        results=[results[job_id] for job_id in ids],
        retried=sum(result.outcome == "retried" for result in results.values()),
    )


async def _filtered(services: Services, principal: Principal, asked: RetryMany) -> list[UUID]:
    given = asked.filter or Filter()
    async with _scope(services, principal, everyone=given.everyone) as session:
        return await repository.oldest(
            session,
            owner_id=None if given.everyone else principal.user_id,
            kind=given.kind,
            code=given.code,
            limit=asked.limit,
        )


async def _batch(services: Services, owner_id: UUID, ids: Sequence[UUID]) -> list[Retried]:
    results = []
    async with services.database.as_user(owner_id) as session:
        await repository.lock_retries(session, owner_id)
        done = await repository.retries(session, ids)
        for job_id in ids:
            if job_id in done:
                results.append(Retried(id=job_id, outcome="already_retried", job_id=done[job_id]))
                continue
            try:
                made = await submit.retry_failed(session, services, job_id)
            except YeoulError as error:  # none of them is the database's, so the transaction goes on
                said = JobError(code=error.code, message=error.detail)
                results.append(Retried(id=job_id, outcome="refused", error=said))
            else:
                results.append(Retried(id=job_id, outcome="retried", job_id=made.id))
    return results


@asynccontextmanager
async def _scope(services: Services, principal: Principal, *, everyone: bool) -> AsyncIterator[AsyncSession]:
    if not everyone:
        async with services.database.as_user(principal.user_id) as session:
            yield session
        return
    if not principal.is_admin:
        raise AdminOnly
    async with services.database.as_service("an administrator looks at everybody's failed jobs") as session:
        yield session
