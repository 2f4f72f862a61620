"""Submitting: the one way a job comes into being, in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.principal import Principal, Role
from yeoul.core.base import json
from yeoul.core.base.errors import TooLarge
from yeoul.core.base.ids import new_id
from yeoul.core.db.database import after_commit
from yeoul.core.jobs import repository, service
from yeoul.core.jobs.errors import InvalidJobInput, JobNotFailed, JobNotFinished, PriorityNotAllowed, TooManyQueued
from yeoul.core.jobs.kinds import Kind
from yeoul.core.jobs.repository import NewJob, NewJobs
from yeoul.core.jobs.schemas import TERMINAL, JobSubmit
from yeoul.core.jobs.tables import Job
from yeoul.core.runtime import traced
from yeoul.core.runtime.services import Services
from yeoul.core.telemetry import tracing
from yeoul.settings import Settings

ADMIN_MAX_PRIORITY = 9


async def submit(  # noqa: PLR0913  (what a job is, one argument each)
    session: AsyncSession,
    services: Services,
    kind: Kind,
    given: BaseModel,
    *,
    priority: int = 5,
    run_at: datetime | None = None,
    max_attempts: int | None = None,
    retry_of: UUID | None = None,
    link: str | None = None,
) -> Job:
    """Inserts a job of the user in scope. Workers are told once the transaction has committed.

    ``link`` is the trace of a job this one repeats. Raises ``TooLarge`` and ``TooManyQueued``.
    """
    settings = services.settings
    value = input_value(settings, given, attached=getattr(given, "attached_bytes", 0))
    new = NewJob(
        id=new_id(),
        kind=kind.name,
        input=value,
        priority=priority,
        run_at=run_at,
        max_attempts=max_attempts or kind.max_attempts or settings.max_attempts,
        retry_of=retry_of,
    )
    with traced.submit(new, link):
        new = replace(new, traceparent=tracing.traceparent())
        job = await repository.submit(session, new, max_queued=settings.max_queued_per_user)
    if job is None:
        raise TooManyQueued(
            f"You have {settings.max_queued_per_user:,} jobs waiting, and that is the most. "
            "Wait for some to end, or cancel some.",
            retry_after=10,
        )
    if job.fair_at is not None:
        after_commit(session, services.doorbell.ring)
    return job


async def submit_many(
    session: AsyncSession,
    services: Services,
    kind: Kind,
    given: Sequence[BaseModel],
    *,
    ready: int | None = None,
    priority: int = 5,
) -> list[UUID]:
    """Inserts jobs of one kind in one statement, for the user in scope: all of them or none. Their ids, in order.

    Only the first ``ready`` may run (null: all); the others are held, and are the caller's to ready. One span and one
    trace for all. Raises ``TooLarge`` and ``TooManyQueued``.
    """
    settings = services.settings
    new = NewJobs(
        ids=[new_id() for _ in given],
        kind=kind.name,
        inputs=[input_value(settings, one) for one in given],
        priority=priority,
        ready=len(given) if ready is None else min(ready, len(given)),
        max_attempts=kind.max_attempts or settings.max_attempts,
    )
    with traced.submit_many(new):
        new = replace(new, traceparent=tracing.traceparent())
        submitted = await repository.submit_many(session, new, max_queued=settings.max_queued_per_user)
    if given and not submitted:
        raise TooManyQueued(
            f"With these {len(given):,} jobs you would have more than {settings.max_queued_per_user:,} waiting, which "
            "is the most. Wait for some to end, or cancel some, or ask for fewer.",
            retry_after=10,
        )
    if new.ready:
        after_commit(session, services.doorbell.ring)
    return new.ids


def input_value(settings: Settings, given: BaseModel, *, attached: int = 0) -> dict[str, Any]:
    """An input as it is kept; raises ``TooLarge``. ``attached`` bytes of it have limits of their own."""
    value = given.model_dump(mode="json", exclude_unset=True)
    if (size := len(json.dumps(value).encode()) - attached) > settings.max_input_bytes:
        raise TooLarge(
            f"The input has {size:,} bytes; {settings.max_input_bytes:,} is the most. Put large data in a file."
        )
    return value


def highest_priority(settings: Settings, role: Role) -> int:
    """The highest priority a role may ask for."""
    return ADMIN_MAX_PRIORITY if role == "admin" else settings.user_max_priority


async def submit_request(session: AsyncSession, services: Services, principal: Principal, request: JobSubmit) -> Job:
    """Submits what a client asked for, within what its role allows."""
    kind = services.kinds.get(request.kind)
    if not kind.public:
        raise InvalidJobInput(f"Kind {kind.name} is submitted by its own page or endpoint, not here.")
    most = highest_priority(services.settings, principal.role)
    if request.priority > most:
        raise PriorityNotAllowed(f"Priority {request.priority} is above {most}, the highest you may ask for.")
    return await submit(
        session,
        services,
        kind,
        kind.parse(request.input),
        priority=request.priority,
        run_at=request.run_at,
        max_attempts=request.max_attempts,
    )


async def retry(session: AsyncSession, services: Services, job_id: UUID) -> Job:
    """Submits a terminal job again, as a new job that reuses its finished steps; raises ``JobNotFinished``."""
    old = await service.get(session, job_id)
    if old.status not in TERMINAL:
        raise JobNotFinished(f"This job is {old.status}. Wait until it has ended, or cancel it first.")
    kind = services.kinds.get(old.kind)
    return await submit(
        session,
        services,
        kind,
        kind.parse(old.input),
        priority=old.priority,
        max_attempts=old.max_attempts,
        retry_of=old.id,
        link=old.traceparent,
    )


async def retry_failed(session: AsyncSession, services: Services, job_id: UUID) -> Job:
    """The same for one of many, which nobody has looked at one by one: raises ``JobNotFailed`` when it went well."""
    old = await service.get(session, job_id)
    if old.status == "succeeded":
        raise JobNotFailed("This job has succeeded. To run it again all the same, retry it by itself.")
    return await retry(session, services, job_id)
