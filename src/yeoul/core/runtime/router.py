"""``/api/jobs``: submit, read, watch, cancel and retry jobs."""

import asyncio
from contextlib import aclosing, suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.base.pagination import Limit, Page
from yeoul.core.events import sse
from yeoul.core.jobs import idempotency, service
from yeoul.core.jobs.schemas import TERMINAL, JobOut, JobSubmit, Status
from yeoul.core.runtime import submit
from yeoul.core.runtime.dependencies import CurrentServices

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

MAX_SEQ = 2**63 - 1

Cursor = Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="The seq of the last event you hold.")]
LastEventId = Annotated[int | None, Header(ge=0, le=MAX_SEQ, description="What browsers send instead of `after`.")]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, description="The same key twice makes one job.")
]


@router.post("", status_code=status.HTTP_202_ACCEPTED)
async def submit_job(
    body: JobSubmit,
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    services: CurrentServices,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """Submits a job and answers at once; it runs when a worker has claimed it."""
    replayed = None
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        key = None
        if idempotency_key is not None:
            key = idempotency.Request(
                principal.user_id, request.method, request.url.path, idempotency_key, await request.body()
            )
            replayed = await idempotency.replay(session, key)
        if replayed is not None:
            job = await service.get(session, replayed)
        else:
            job = await submit.submit_request(session, services, principal, body)
            if key is not None:
                await idempotency.remember(session, key, job.id)
        shown = JobOut.model_validate(job)
    response.headers["Location"] = f"/api/jobs/{shown.id}"
    if replayed is not None:
        response.headers["Idempotency-Replayed"] = "true"
    return shown


@router.get("")
async def list_jobs(
    principal: CurrentPrincipal,
    services: CurrentServices,
    status: Annotated[Status | None, Query()] = None,
    kind: Annotated[str | None, Query(max_length=100, pattern="^[^\0]*$")] = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[Limit, Query()] = 20,
) -> Page[JobOut]:
    """Your jobs, newest first."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.listing(session, status=status, kind=kind, cursor=cursor, limit=limit)


@router.get("/kinds")
async def list_kinds(_: CurrentPrincipal, services: CurrentServices) -> list[dict[str, Any]]:
    """What kinds of jobs may be submitted, with the JSON schemas of their input and output."""
    return [
        {
            "kind": kind.name,
            "input_schema": kind.input.model_json_schema(),
            "output_schema": kind.output.model_json_schema(mode="serialization") if kind.output else None,
            "max_attempts": kind.max_attempts or services.settings.max_attempts,
            "timeout_seconds": kind.timeout,
        }
        for kind in services.kinds
        if kind.public
    ]


@router.get("/live", response_class=sse.EventStreamResponse)
async def watch_jobs(
    principal: CurrentPrincipal, services: CurrentServices, after: Cursor = None, last_event_id: LastEventId = None
) -> sse.EventStreamResponse:
    """Every status change of your jobs, live: events `job` with the job's summary; from now on without a cursor.

    `reset` says that the cursor is too old: read the list again.
    """
    cursor = last_event_id if last_event_id is not None else after
    watch = await service.watch_all(services.database, services.events, principal.user_id, cursor)
    return sse.stream(watch.subscription, watch.before)


@router.get("/{job_id}")
async def read_job(job_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> JobOut:
    """One job."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.show(session, job_id)


@router.get("/{job_id}/events", response_class=sse.EventStreamResponse)
async def watch_job(
    job_id: UUID,
    principal: CurrentPrincipal,
    services: CurrentServices,
    after: Cursor = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The job's events after a cursor, then live until its end. 204 when there is nothing left to come.

    Of a job whose events are past their time, its text and its end are told, from the beginning alone.
    """
    cursor = last_event_id if last_event_id is not None else after or 0
    async with services.database.as_user(principal.user_id) as session:
        watch = await service.watch(session, services.events, job_id, cursor)
    if watch.over and not watch.before:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return sse.stream(watch.subscription, watch.before)


@router.post("/{job_id}/cancel")
async def cancel_job(
    job_id: UUID,
    principal: CurrentPrincipal,
    services: CurrentServices,
    response: Response,
    wait: Annotated[
        float, Query(ge=0, le=60, description="Answer only once the job has ended, for so many seconds.")
    ] = 0,
) -> JobOut:
    """Cancels the job. One that has ended stays as it ended. 202 while its worker has yet to stop."""
    async with services.database.as_user(principal.user_id) as session:
        await service.cancel(session, services.ringer, job_id)
        watch = await service.watch(session, services.events, job_id, None)
    if wait and not watch.over:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait), watch.subscription, aclosing(watch.subscription.batches()) as batches:
                async for _ in batches:
                    pass
    async with services.database.as_user(principal.user_id) as session:
        shown = await service.show(session, job_id)
    if shown.status not in TERMINAL:
        response.status_code = status.HTTP_202_ACCEPTED
    return shown


@router.post("/{job_id}/retry", status_code=status.HTTP_202_ACCEPTED)
async def retry_job(job_id: UUID, principal: CurrentPrincipal, services: CurrentServices, response: Response) -> JobOut:
    """Submits an ended job again: a new job with `retry_of`, which reuses the finished steps."""
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        shown = JobOut.model_validate(await submit.retry(session, services, job_id))
    response.headers["Location"] = f"/api/jobs/{shown.id}"
    return shown
