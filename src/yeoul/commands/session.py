"""How a command reaches the installation's data: as which user, and with which parts of a process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

from yeoul.core.auth import administration
from yeoul.core.auth.errors import AccountDisabled
from yeoul.core.auth.principal import Principal, Role
from yeoul.core.auth.repository import SYSTEM_EMAIL, SYSTEM_ID
from yeoul.core.auth.tables import User
from yeoul.core.db.database import Database
from yeoul.core.http.logs import configure
from yeoul.core.jobs.errors import JobNotFound
from yeoul.core.jobs.tables import Job
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


def quiet(settings: Settings) -> None:
    """Logs of a command that answers a person: only what needs looking after, unless more was asked for."""
    level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
    configure(settings.model_copy(update={"log_level": level}))


@asynccontextmanager
async def opened(urls: DatabaseUrls) -> AsyncGenerator[Database]:
    """The two pools, for as long as the command looks."""
    database = Database(urls.app, urls.service, pool_size=2)
    try:
        yield database
    finally:
        await database.close()


async def acting_as(database: Database, email: str | None) -> Principal:
    """The user a command acts as: the one named, else the first administrator, else a local user.

    ``system`` is the installation itself, whose schedules and jobs are maintenance.

    Raises ``UserNotFound`` or ``AccountDisabled``.
    """
    async with database.as_service("command line: whom it acts as") as session:
        if email is None:
            return _principal(await administration.operator(session))
        if email == SYSTEM_EMAIL and (system := await session.get(User, SYSTEM_ID)) is not None:
            return _principal(system)
        user = await administration.find(session, email)
        if user.disabled_at is not None:
            raise AccountDisabled
        return _principal(user)


async def owner_of(database: Database, job_id: UUID) -> Principal:
    """Whose job it is: who may run this command may read them all; raises ``JobNotFound``."""
    async with database.as_service("command line: whose job this is") as session:
        job = await session.get(Job, job_id)
        owner = None if job is None else await session.get(User, job.owner_id)
    if owner is None:
        raise JobNotFound(f"There is no job {job_id}. `yeoul jobs list` shows the newest.")
    return _principal(owner)


def _principal(user: User) -> Principal:
    return Principal(user.id, cast("Role", user.role), None, "bearer")
