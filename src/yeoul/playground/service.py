"""Reading, cancelling and deleting prompts and executions."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.core.db.database import after_commit
from yeoul.core.db.listen import JOBS_CANCELED, STREAMS_GREW
from yeoul.core.jobs import service as jobs
from yeoul.core.runtime.services import Services
from yeoul.playground import repository, statuses
from yeoul.playground.errors import ImageNotFound, IterationNotFound, PromptNotFound
from yeoul.playground.schemas import ExecutionOut, HistoryItem, PromptDetail, PromptOut
from yeoul.playground.tables import Prompt

MOST_EXECUTIONS = 100


async def prompt(session: AsyncSession, either: UUID) -> Prompt:
    """A prompt by its id, or an execution's; raises ``PromptNotFound``."""
    found = await repository.prompt(session, either) or await repository.prompt_of(session, either)
    if found is None:
        raise PromptNotFound
    return found


async def image(session: AsyncSession, either: UUID, number: int) -> tuple[str, bytes]:
    """The media type and the data of one of a prompt's images, from 1. Raises ``ImageNotFound``."""
    found = await prompt(session, either)
    data = await repository.image(session, found.id, number)
    if data is None:
        raise ImageNotFound(f"This prompt has {len(found.images)} images.")
    return found.images[number - 1]["media_type"], data.data


async def cancel(session: AsyncSession, services: Services, either: UUID) -> None:
    """Cancels what is left: at once what waits, as a request to its worker what runs. What has ended stays."""
    found = await statuses.execution(session, either)
    _tell(session, services, await repository.cancel(session, found.id))


async def cancel_iteration(session: AsyncSession, services: Services, either: UUID, iteration: UUID) -> UUID:
    """Cancels one iteration, by its id or a job's of it, and returns its execution. One that has ended stays.

    Raises ``IterationNotFound``.
    """
    found = await statuses.execution(session, either)
    job = await repository.iteration(session, found, iteration)
    if job is None:
        raise IterationNotFound("This execution has no such iteration: give the id of a result, or of its job.")
    await jobs.cancel(session, services.ringer, job.id)
    after_commit(session, services.doorbell.ring)  # another of its execution may be ready now
    return found.id


def _tell(session: AsyncSession, services: Services, canceled_now: list[tuple[UUID, str]]) -> None:
    running = [job_id for job_id, status in canceled_now if status == "running"]
    canceled = [job_id for job_id, status in canceled_now if status == "canceled"]
    if running:
        after_commit(session, lambda: services.ringer.ring(JOBS_CANCELED, running))
    if canceled:
        after_commit(session, lambda: services.ringer.ring(STREAMS_GREW, canceled))


async def delete(session: AsyncSession, services: Services, prompt_id: UUID) -> None:
    """Deletes a version with all that came of it, jobs too; what still runs is canceled. Raises ``PromptNotFound``."""
    if await repository.prompt(session, prompt_id) is None:
        raise PromptNotFound
    _tell(session, services, await repository.delete_prompt(session, prompt_id))


async def history(session: AsyncSession, *, search: str | None, cursor: str | None, limit: int) -> Page[HistoryItem]:
    """A page of the user's prompts, newest first."""
    rows = await repository.history(session, search=search, before=decode_cursor(cursor), limit=limit + 1)
    items = [
        HistoryItem(
            **PromptOut.model_validate(prompt).model_dump(),
            execution=None if latest is None else ExecutionOut.model_validate(latest),
        )
        for prompt, latest in rows
    ]
    return page(items, limit, [prompt.id for prompt, _ in rows])


async def detail(session: AsyncSession, either: UUID) -> PromptDetail:
    """A prompt, by its id or an execution's, and its executions."""
    found = await prompt(session, either)
    executions = await repository.executions(session, found.id, MOST_EXECUTIONS)
    return PromptDetail(
        prompt=PromptOut.model_validate(found),
        executions=[ExecutionOut.model_validate(one) for one in executions],
    )
