"""One job, asked and read in many dialects."""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.principal import Principal
from yeoul.core.base import json
from yeoul.core.base.errors import Unavailable
from yeoul.core.completions import repository
from yeoul.core.completions.dialects.base import Asked
from yeoul.core.completions.dialects.responses import ResponsesEncoder, response
from yeoul.core.completions.errors import AnswerCanceled, ResponseNotFound, UnsupportedParameter, failure
from yeoul.core.completions.said import Range
from yeoul.core.completions.schemas import CompleteInput, Dialect
from yeoul.core.events.schemas import Event
from yeoul.core.jobs import idempotency
from yeoul.core.jobs import service as jobs
from yeoul.core.jobs.errors import JobNotFound
from yeoul.core.jobs.schemas import TERMINAL
from yeoul.core.jobs.service import Watch
from yeoul.core.jobs.tables import Job
from yeoul.core.llm.errors import ModelNotReady
from yeoul.core.llm.gateway import Gateway
from yeoul.core.runtime import submit
from yeoul.core.runtime.services import Services

KIND = "llm.complete"


@dataclass(frozen=True)
class Begun:
    """A job that was asked, and a subscription to all of it."""

    asked: Asked
    watch: Watch


def check(gateway: Gateway, given: CompleteInput) -> None:
    """Raises ``UnknownModel``, ``ModelCannot``, and ``UnsupportedParameter`` for what this model does not honour.

    What is not set up here may be where the workers are: that is for them to say.
    """
    with suppress(ModelNotReady):
        route = gateway.check(given.question())
        honoured = route.provider.honours(route.model)
        for name in given.parameters.model_fields_set:
            if name not in honoured:
                raise UnsupportedParameter(name, f"The model {route.id} takes {', '.join(honoured) or 'none'}.")


async def begin(
    services: Services, principal: Principal, given: CompleteInput, key: idempotency.Request | None = None
) -> Begun:
    """Submits the job, or finds the one an earlier request with this key made, and subscribes to it from its start."""
    check(services.gateway, given)
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        known = None if key is None else await idempotency.replay(session, key)
        if known is not None:
            job = await jobs.get(session, known)
        else:
            job = await submit.submit(session, services, services.kinds.get(KIND), given)
            if key is not None:
                await idempotency.remember(session, key, job.id)
        asked = Asked(job.id, job.created_at, CompleteInput.model_validate(job.input))
        watch = await jobs.watch(session, services.events, job.id, 0)
    return Begun(asked, watch)


async def find(session: AsyncSession, response_id: str) -> Job:
    """The job of a response's id; raises ``ResponseNotFound``."""
    try:
        job = await jobs.get(session, UUID(response_id.removeprefix("resp_")))
    except (ValueError, JobNotFound):
        job = None
    if job is None or job.kind != KIND:
        raise ResponseNotFound(f"There is no response `{response_id}`, or it is not yours.")
    return job


def asked(job: Job) -> Asked:
    """A job as encoders need it."""
    return Asked(job.id, job.created_at, CompleteInput.model_validate(job.input))


async def read(session: AsyncSession, job: Job) -> dict[str, Any]:
    """A job as a response. One that has ended is read from its log, so that it is what its stream's last event says."""
    if job.status not in TERMINAL:
        return response(asked(job), job.status)
    encoder = ResponsesEncoder(asked(job))
    encoder.open()
    for event in await repository.events(session, job.id) or jobs.told(job):  # none: they are past their time
        encoder.take(event)
    return encoder.response


async def cancel(services: Services, principal: Principal, job_id: UUID) -> None:
    """Cancels a job."""
    async with services.database.as_user(principal.user_id) as session:
        await jobs.cancel(session, services.ringer, job_id)


async def cancel_and_wait(services: Services, principal: Principal, job_id: UUID, seconds: float) -> None:
    """Cancels a job, and gives its worker so long to stop."""
    async with services.database.as_user(principal.user_id) as session:
        await jobs.cancel(session, services.ringer, job_id)
        watch = await jobs.watch(session, services.events, job_id, None)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ended(watch)


async def ended(watch: Watch) -> Event | None:
    """Waits for the terminal event; null when the server stops first."""
    last = watch.before[-1] if watch.over and watch.before else None
    async with watch.subscription, aclosing(watch.subscription.batches()) as batches:
        async for batch in batches:
            last = batch[-1]
    return last if watch.over or watch.subscription.over else None


async def output(begun: Begun) -> dict[str, Any]:
    """Waits for the answer. Raises what the job failed with, ``AnswerCanceled``, or ``Unavailable`` while stopping."""
    last = await ended(begun.watch)
    if last is None:
        raise Unavailable("The server is being restarted. Ask again in a moment.", retry_after=2)
    return answered(last)


def answered(last: Event) -> dict[str, Any]:
    """The output that a terminal event brings; raises what the job failed with, or ``AnswerCanceled``."""
    found = json.loads(last.data)
    if last.type == "failed":
        raise failure(found["error"] or {})
    if last.type == "canceled":
        raise AnswerCanceled("The job was canceled before it had an answer.")
    answer: dict[str, Any] = found["output"]
    return answer


async def started(services: Services, begun: Begun, seconds: float) -> bool:
    """Waits until the job has said something or ended, but no longer than this; raises what it failed with."""
    subscription = services.events.subscribe(begun.asked.job_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), subscription, aclosing(subscription.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    if event.type in TERMINAL:
                        answered(event)
                    if event.type in TERMINAL or event.type == "text":
                        return True
    return True


async def resume(
    services: Services, principal: Principal, dialect: Literal["ai-sdk", "ag-ui"], client_id: str
) -> tuple[Begun, list[Range]] | None:
    """The job a client knows by this id, from its start, and what of it is void by now; see ``repository.newest``."""
    async with services.database.as_user(principal.user_id) as session:
        job_id = await repository.newest(session, dialect, client_id)
        if job_id is None:
            return None
        job = await jobs.get(session, job_id)
        watch = await jobs.watch(session, services.events, job_id, 0)
        return Begun(asked(job), watch), await repository.void(session, job_id)


async def stop(services: Services, principal: Principal, dialect: Dialect, client_id: str) -> UUID | None:
    """Cancels the job a client knows by this id, and says which; null without one."""
    async with services.database.as_user(principal.user_id) as session:
        job_id = await repository.newest(session, dialect, client_id)
        if job_id is not None:
            await jobs.cancel(session, services.ringer, job_id)
    return job_id
