"""What ``yeoul schedules`` does: it calls the services that the API calls, as the schedules' owner."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.commands import database
from yeoul.commands.following import process, somebody_works
from yeoul.commands.session import acting_as, opened, quiet
from yeoul.commands.terminal import local_time, print_json, print_table, run, say
from yeoul.core.auth.principal import Principal
from yeoul.core.base.errors import InvalidInput
from yeoul.core.base.pagination import Page
from yeoul.core.jobs.schemas import JobOut
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.core.schedules import repository, service
from yeoul.core.schedules.errors import ScheduleNotFound
from yeoul.core.schedules.schemas import ScheduleChange, ScheduleIn, ScheduleOut
from yeoul.core.schedules.tables import Schedule
from yeoul.settings import Settings

Result = TypeVar("Result")
Work = Callable[[AsyncSession, Services, Principal], Awaitable[Result]]


def listing(settings: Settings, limit: int, cursor: str | None, email: str | None, *, as_json: bool) -> None:
    """Prints a page of a user's schedules."""
    quiet(settings)
    with database.ready(settings) as urls:
        page = run(_page(urls, limit, cursor, email))
    if as_json:
        print_json(page.model_dump(mode="json"))
    elif page.items:
        print_table(("name", "kind", "when", "next", "last", ""), [_row(item) for item in page.items])
        if page.next_cursor is not None:
            say(f"More: yeoul schedules list --cursor {page.next_cursor}", "dim")
    else:
        say("No schedules yet. Add one: yeoul schedules add NAME --cron '0 9 * * *' --input '{\"prompt\": \"…\"}'")


def add(settings: Settings, values: dict[str, Any], given: str, email: str | None, *, as_json: bool) -> None:
    """Makes a schedule out of what the options say."""
    try:
        value = json.loads(sys.stdin.read() if given == "-" else given)
        made = ScheduleIn.model_validate({**values, "input": value})
    except json.JSONDecodeError as error:
        raise InvalidInput(f"--input is no JSON: {error}.") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidInput(" ".join(f"{item['loc'][0]}: {item['msg']}." for item in found)) from None

    async def work(session: AsyncSession, services: Services, who: Principal) -> ScheduleOut:
        return ScheduleOut.model_validate(await service.add(session, services, who, made))

    _tell(_with(settings, email, work), as_json=as_json)


def enable(settings: Settings, name: str, email: str | None, *, enabled: bool, as_json: bool) -> None:
    """Pauses or resumes a schedule."""

    async def work(session: AsyncSession, services: Services, who: Principal) -> ScheduleOut:
        row = await _find(session, who, name)
        changed = await service.change(session, services, who, row.id, ScheduleChange(enabled=enabled))
        return ScheduleOut.model_validate(changed)

    _tell(_with(settings, email, work), as_json=as_json)


def delete(settings: Settings, name: str, email: str | None) -> None:
    """Deletes a schedule."""

    async def work(session: AsyncSession, _: Services, who: Principal) -> str:
        row = await _find(session, who, name)
        await service.remove(session, who, row.id)
        return row.name

    say(f"Deleted {_with(settings, email, work)}. The jobs it has made stay.")


def run_now(settings: Settings, name: str, email: str | None, *, as_json: bool) -> None:
    """Submits a schedule's job; prints its id."""

    async def work(session: AsyncSession, services: Services, who: Principal) -> tuple[JobOut, bool]:
        row = await _find(session, who, name)
        job = JobOut.model_validate(await service.run_now(session, services, who, row.id))
        return job, await somebody_works(services, job.kind)

    job, works = _with(settings, email, work)
    if as_json:
        print_json(job.model_dump(mode="json"))
        return
    sys.stdout.write(f"{job.id}\n")
    if not works:
        say("No worker is running: it waits until `yeoul serve` or `yeoul worker` runs.", "yellow")


def _with(settings: Settings, email: str | None, work: Work[Result]) -> Result:
    """Runs ``work`` in one service transaction."""
    quiet(settings)
    with database.ready(settings) as urls:
        return run(_at_work(settings, urls, email, work))


async def _at_work(settings: Settings, urls: DatabaseUrls, email: str | None, work: Work[Result]) -> Result:
    async with process(settings, urls) as here:
        who = await acting_as(here.services.database, email)
        async with here.services.database.as_service("command line: schedules of one user") as session:
            return await work(session, here.services, who)


async def _page(urls: DatabaseUrls, limit: int, cursor: str | None, email: str | None) -> Page[ScheduleOut]:
    async with opened(urls) as db:
        who = await acting_as(db, email)
        async with db.as_user(who.user_id) as session:
            return await service.listing(session, who.user_id, cursor=cursor, limit=limit)


async def _find(session: AsyncSession, who: Principal, name: str) -> Schedule:
    row = await repository.by_name(session, who.user_id, name)
    if row is None:
        try:
            row = await repository.get(session, who.user_id, UUID(name))
        except ValueError:
            row = None
    if row is None:
        raise ScheduleNotFound(f"There is no schedule {name!r}. `yeoul schedules list` shows them.")
    return row


def _row(item: ScheduleOut) -> tuple[str, ...]:
    note = item.last_error.message if item.last_error is not None else ""
    coming = local_time(item.next_at) if item.enabled else "paused"
    return item.name, item.kind, _when(item), coming, local_time(item.last_at), note


def _when(item: ScheduleOut) -> str:
    return f"every {item.every_seconds:,} s" if item.every_seconds is not None else f"{item.cron} {item.time_zone}"


def _tell(item: ScheduleOut, *, as_json: bool) -> None:
    if as_json:
        print_json(item.model_dump(mode="json"))
    elif item.enabled:
        say(f"{item.name}: {_when(item)}, next at {local_time(item.next_at)}.")
    else:
        say(f"{item.name} is paused.")
