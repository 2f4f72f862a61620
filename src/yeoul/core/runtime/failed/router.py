"""``/api/jobs/failed`` and ``/api/jobs/retry``: what has failed for good, and trying many again.

Included before ``/api/jobs/{job_id}``, which would take ``failed`` for an id.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.base.pagination import Limit, Page
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.failed import service
from yeoul.core.runtime.failed.schemas import (
    ErrorCode,
    FailedGroups,
    FailedJob,
    Filter,
    KindName,
    RetriedMany,
    RetryMany,
)

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

Everyone = Annotated[bool, Query(description="Other users' jobs too; for administrators.")]


@router.get("/failed")
async def list_failed(
    principal: CurrentPrincipal,
    services: CurrentServices,
    kind: Annotated[KindName | None, Query()] = None,
    code: Annotated[ErrorCode | None, Query()] = None,
    everyone: Everyone = False,  # noqa: FBT002  (a query parameter)
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[Limit, Query()] = 20,
) -> Page[FailedJob]:
    """Failed jobs that nobody has retried yet, newest first."""
    given = Filter(kind=kind, code=code, everyone=everyone)
    return await service.listing(services, principal, given, cursor=cursor, limit=limit)


@router.get("/failed/groups")
async def group_failed(
    principal: CurrentPrincipal,
    services: CurrentServices,
    everyone: Everyone = False,  # noqa: FBT002
) -> FailedGroups:
    """The same jobs by kind and error code, the largest group first."""
    return await service.groups(services, principal, everyone=everyone)


@router.post("/retry")
async def retry_many(body: RetryMany, principal: CurrentPrincipal, services: CurrentServices) -> RetriedMany:
    """Retries up to 500 failed or canceled jobs, each as its owner: new jobs with `retry_of`.

    A job that has been retried is not retried again, so the same request twice does it once. The answer says what came
    of each.
    """
    return await service.retry_many(services, principal, body)
