"""``/api/schedules``: jobs that are submitted again and again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response, status

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.base.pagination import Limit, Page
from yeoul.core.jobs.schemas import JobOut
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.schedules import service
from yeoul.core.schedules.schemas import ScheduleChange, ScheduleIn, ScheduleOut

router = APIRouter(prefix="/api/schedules", tags=["schedules"])


@router.post("", status_code=status.HTTP_201_CREATED)
async def add_schedule(
    body: ScheduleIn, response: Response, principal: CurrentPrincipal, services: CurrentServices
) -> ScheduleOut:
    """Makes a schedule. It runs at its next tick, not at once."""
    async with services.database.as_service("schedules: add one of the principal's") as session:
        shown = ScheduleOut.model_validate(await service.add(session, services, principal, body))
    response.headers["Location"] = f"/api/schedules/{shown.id}"
    return shown


@router.get("")
async def list_schedules(
    principal: CurrentPrincipal,
    services: CurrentServices,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[Limit, Query()] = 20,
) -> Page[ScheduleOut]:
    """Your schedules, newest first."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.listing(session, principal.user_id, cursor=cursor, limit=limit)


@router.get("/{schedule_id}")
async def read_schedule(schedule_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> ScheduleOut:
    """One schedule."""
    async with services.database.as_user(principal.user_id) as session:
        return ScheduleOut.model_validate(await service.get(session, principal.user_id, schedule_id))


@router.patch("/{schedule_id}")
async def change_schedule(
    schedule_id: UUID, body: ScheduleChange, principal: CurrentPrincipal, services: CurrentServices
) -> ScheduleOut:
    """Changes what is given. `enabled: false` pauses it; a schedule that goes on again waits for its next tick."""
    async with services.database.as_service("schedules: change one of the principal's") as session:
        return ScheduleOut.model_validate(await service.change(session, services, principal, schedule_id, body))


@router.delete("/{schedule_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_schedule(schedule_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Deletes a schedule. Jobs it has made stay, and run on."""
    async with services.database.as_service("schedules: delete one of the principal's") as session:
        await service.remove(session, principal, schedule_id)


@router.post("/{schedule_id}/run", status_code=status.HTTP_202_ACCEPTED)
async def run_schedule(
    schedule_id: UUID, response: Response, principal: CurrentPrincipal, services: CurrentServices
) -> JobOut:
    """Submits its job now; its ticks stay as they are."""
    async with services.database.as_service("schedules: run one of the principal's") as session:
        shown = JobOut.model_validate(await service.run_now(session, services, principal, schedule_id))
    response.headers["Location"] = f"/api/jobs/{shown.id}"
    return shown
