"""Executing prompts, and reading, cancelling and deleting them."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.base.errors import YeoulError
from yeoul.core.base.ids import new_id
from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.core.db.database import after_commit
from yeoul.core.db.listen import JOBS_CANCELED, STREAMS_GREW
from yeoul.core.jobs import idempotency
from yeoul.core.jobs import repository as jobs
from yeoul.core.llm.schemas import Parameters
from yeoul.core.runtime import submit
from yeoul.core.runtime.services import Services
from yeoul.playground import repository
from yeoul.playground.errors import NeverExecuted, NoSuchSnippet, ParameterNotTaken, PromptNotFound
from yeoul.playground.schemas import (
    ENDED,
    Execute,
    ExecutionOut,
    HistoryItem,
    IterationInput,
    ModelStatistics,
    Pending,
    PromptDetail,
    PromptOut,
    ResultOut,
    Started,
    StatusOut,
)
from yeoul.playground.snippets import Question
from yeoul.playground.tables import Execution, Prompt

KIND = "playground.iteration"
MOST_EXECUTIONS = 100

_HELD = timedelta(days=3650)
"""Iterations beyond an execution's concurrency wait for the end of another, which readies them; see migrations."""


async def execute(
    session: AsyncSession, services: Services, owner_id: UUID, given: Execute, key: idempotency.Request | None
) -> tuple[Started, bool]:
    """Creates a prompt and its first execution; also whether an earlier request with this key had done so."""
    if (known := await _replayed(session, key)) is not None:
        return known, True
    models = routed(services, given.models or [given.selected_model], given.parameters)
    prompt = Prompt(
        id=new_id(),
        owner_id=owner_id,
        system_prompt=json.clean_text(given.system_prompt) if given.system_prompt else None,
        user_prompt=json.clean_text(given.user_prompt),
        parameters=given.parameters.model_dump(mode="json", exclude_none=True),
        selected_model=models[0] if given.models else given.selected_model,
    )
    session.add(prompt)
    await session.flush()
    made = Execution(iterations=given.iterations, models=models, concurrency=given.concurrency, stream=given.stream)
    return await _begin(session, services, prompt, made, key), False


async def replay(
    session: AsyncSession, services: Services, owner_id: UUID, either: UUID, key: idempotency.Request | None
) -> tuple[Started, bool]:
    """Executes a prompt again, exactly as an execution of it was: the same models, as often, as many at a time."""
    if (known := await _replayed(session, key)) is not None:
        return known, True
    before = await execution(session, either)
    prompt = await repository.prompt(session, before.prompt_id)
    if prompt is None or prompt.owner_id != owner_id:
        raise PromptNotFound
    routed(services, before.models, Parameters.model_validate(prompt.parameters))
    made = Execution(
        iterations=before.iterations, models=before.models, concurrency=before.concurrency, stream=before.stream
    )
    return await _begin(session, services, prompt, made, key), False


def routed(services: Services, models: Sequence[str], parameters: Parameters) -> list[str]:
    """The full ids of models, each once. Raises a ``ModelError``, or ``ParameterNotTaken`` with every one at fault."""
    routes = {route.id: route for route in (services.gateway.route(model) for model in models)}
    errors = []
    for route, name in product(routes.values(), parameters.model_dump(exclude_none=True)):
        honoured = route.provider.honours(route.model)
        if name not in honoured:
            words = f"`{route.id}` does not take `{name}`. It takes: {', '.join(honoured) or 'none'}."
            errors.append({"loc": ["body", "parameters", name], "message": words})
    if errors:
        raise ParameterNotTaken(f"{errors[0]['message']} Leave it out, or choose another model.", errors=errors)
    return list(routes)


async def _begin(
    session: AsyncSession, services: Services, prompt: Prompt, made: Execution, key: idempotency.Request | None
) -> Started:
    kind = services.kinds.get(KIND)
    now = await jobs.database_now(session)
    made.id, made.owner_id, made.prompt_id = new_id(), prompt.owner_id, prompt.id
    ids: list[UUID] = []
    for iteration, model in product(range(1, made.iterations + 1), made.models):
        held = made.concurrency is not None and len(ids) >= made.concurrency
        asked = IterationInput(execution_id=made.id, iteration_number=iteration, model=model, stream=made.stream)
        job = await submit.submit(session, services, kind, asked, run_at=now + _HELD if held else None)
        ids.append(job.id)
    made.job_ids = ids
    session.add(made)
    if key is not None:
        await idempotency.remember(session, key, ids[0])
    await session.flush()
    return Started(execution_id=made.id, prompt_id=prompt.id)


async def _replayed(session: AsyncSession, key: idempotency.Request | None) -> Started | None:
    known = None if key is None else await idempotency.replay(session, key)
    job = None if known is None else await jobs.get(session, known)
    if job is None:
        return None
    made = await execution(session, IterationInput.model_validate(job.input).execution_id)
    return Started(execution_id=made.id, prompt_id=made.prompt_id)


async def execution(session: AsyncSession, either: UUID) -> Execution:
    """An execution by its id, or the latest of a prompt; raises ``PromptNotFound`` or ``NeverExecuted``."""
    found = await repository.execution(session, either)
    if found is None:
        raise PromptNotFound if await repository.prompt(session, either) is None else NeverExecuted
    return found


async def status(session: AsyncSession, either: UUID) -> StatusOut:
    """An execution with its results, what has not ended, and the numbers."""
    found = await execution(session, either)
    results = await repository.results(session, found.id)
    numbers = {row.model: row for row in await repository.statistics(session, found.id)}
    return StatusOut(
        execution_id=found.id,
        prompt_id=found.prompt_id,
        status=ExecutionOut.model_validate(found).status,
        execution=ExecutionOut.model_validate(found),
        results=[ResultOut.model_validate(one) for one in results],
        pending=[] if found.status in ENDED else await _pending(session, found),
        statistics=[
            ModelStatistics.model_validate(numbers[model], from_attributes=True)
            for model in found.models
            if model in numbers
        ],
    )


async def _pending(session: AsyncSession, found: Execution) -> list[Pending]:
    waiting = await repository.unfinished(session, found.job_ids)
    lengths = await repository.characters(session, [job.id for job in waiting.values() if job.status == "running"])
    return [
        Pending.model_validate(
            {
                **{name: getattr(job, name) for name in ("status", "attempt", "progress", "error", "started_at")},
                "job_id": job.id,
                "iteration_number": iteration,
                "model": model,
                "characters": lengths.get(job.id, 0),
            }
        )
        for job_id, iteration, model in lanes(found)
        if (job := waiting.get(job_id)) is not None
    ]


def lanes(found: Execution) -> list[tuple[UUID, int, str]]:
    """The jobs of an execution: id, iteration, model."""
    each = product(range(1, found.iterations + 1), found.models)
    return [(job_id, iteration, model) for job_id, (iteration, model) in zip(found.job_ids, each, strict=True)]


async def question(session: AsyncSession, either: UUID, model: str | None, gateway_url: str) -> Question:
    """What a prompt asks, for a program to ask. ``model``: one of its execution's; null: the first."""
    shown = await detail(session, either)
    asked = next((one for one in shown.executions if one.id == either), next(iter(shown.executions), None))
    models = [shown.prompt.selected_model] if asked is None else asked.models
    if model is not None and model not in models:
        raise NoSuchSnippet(f"This prompt was not asked of `{model}`. It was asked of: {', '.join(models)}.")
    return Question(
        system_prompt=shown.prompt.system_prompt,
        user_prompt=shown.prompt.user_prompt,
        parameters=shown.prompt.parameters,
        model=model or models[0],
        gateway_url=gateway_url,
    )


async def cancel(session: AsyncSession, services: Services, either: UUID) -> None:
    """Cancels what is left: at once what waits, as a request to its worker what runs. What has ended stays."""
    found = await execution(session, either)
    await _cancel(session, services, found)


async def _cancel(session: AsyncSession, services: Services, found: Execution) -> None:
    after = await repository.cancel(session, found.id)
    running = [job_id for job_id, status in after if status == "running"]
    canceled = [job_id for job_id, status in after if status == "canceled"]
    if running:
        after_commit(session, lambda: services.ringer.ring(JOBS_CANCELED, running))
    if canceled:
        after_commit(session, lambda: services.ringer.ring(STREAMS_GREW, canceled))


async def delete(session: AsyncSession, services: Services, prompt_id: UUID) -> None:
    """Deletes a prompt with all that came of it; what still runs is canceled. Raises ``PromptNotFound``."""
    if await repository.prompt(session, prompt_id) is None:
        raise PromptNotFound
    for found in await repository.executions(session, prompt_id, MOST_EXECUTIONS):
        if found.status not in ENDED:
            await _cancel(session, services, found)
    await repository.delete_prompt(session, prompt_id)


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


async def detail(session: AsyncSession, prompt_id: UUID) -> PromptDetail:
    """A prompt, by its id or an execution's, and its executions."""
    prompt = await repository.prompt(session, prompt_id) or await repository.prompt_of(session, prompt_id)
    if prompt is None:
        raise PromptNotFound
    executions = await repository.executions(session, prompt.id, MOST_EXECUTIONS)
    return PromptDetail(
        prompt=PromptOut.model_validate(prompt),
        executions=[ExecutionOut.model_validate(one) for one in executions],
    )


def problem(error: YeoulError) -> dict[str, object]:
    """An error for channels that are not HTTP."""
    return {"status": error.status, "code": error.code, "title": error.title, "detail": error.detail}
