"""Executing prompts: a prompt, its execution and all its jobs come into being together, or none of it."""

from collections.abc import Sequence
from itertools import product
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.base.ids import new_id
from yeoul.core.jobs import idempotency
from yeoul.core.jobs import repository as jobs
from yeoul.core.llm.images import Image
from yeoul.core.llm.own_keys import Held
from yeoul.core.llm.schemas import CompletionRequest, Parameters
from yeoul.core.runtime import submit
from yeoul.core.runtime.services import Services
from yeoul.playground import prompts, repository, statuses
from yeoul.playground.cases import fit
from yeoul.playground.checks import Check, JudgeCheck, variables
from yeoul.playground.errors import ParameterNotTaken, PromptNotFound, TooManyIterations
from yeoul.playground.requests import CHECKS, MOST_JOBS, Execute, IterationInput
from yeoul.playground.schemas import Started
from yeoul.playground.tables import Execution, Prompt

KIND = "playground.iteration"


async def execute(
    session: AsyncSession,
    services: Services,
    owner_id: UUID,
    given: Execute,
    key: idempotency.Request | None,
    held: Held,
) -> tuple[Started, bool]:
    """Creates a prompt and its first execution; also whether an earlier request with this key had done so.

    ``held``: the providers they may ask with keys of their own.
    """
    if (known := await _replayed(session, key)) is not None:
        return known, True
    models = routed(
        services, held, given.models or [given.selected_model], given.parameters, given.response_schema, given.images
    )
    checks = [_judged(services, held, check) for check in given.checks]
    selected = models[0] if given.models else given.selected_model
    prompt = await prompts.make(session, owner_id, given, selected)
    cases = json.clean(given.cases or [])
    fit(list(dict.fromkeys([*prompt.variables, *variables(given.checks)])), cases)
    made = Execution(
        iterations=given.iterations,
        models=models,
        case_count=len(cases),
        checks=json.clean([check.model_dump(mode="json") for check in checks]),
        concurrency=given.concurrency,
        timeout_seconds=given.timeout_seconds,
        max_cost_usd=given.max_cost_usd,
        stream=given.stream,
    )
    started = await _begin(session, services, prompt, made, key)
    if cases:
        await repository.add_cases(session, made, cases)
    return started, False


async def replay(
    session: AsyncSession,
    services: Services,
    owner_id: UUID,
    either: UUID,
    key: idempotency.Request | None,
    held: Held,
) -> tuple[Started, bool]:
    """Executes a prompt again, exactly as an execution of it was: models, cases, checks, limits and all."""
    if (known := await _replayed(session, key)) is not None:
        return known, True
    before = await statuses.execution(session, either)
    prompt = await repository.prompt(session, before.prompt_id)
    if prompt is None or prompt.owner_id != owner_id:
        raise PromptNotFound
    images = await repository.pictures(session, prompt)
    parameters = Parameters.model_validate(prompt.parameters)
    routed(services, held, before.models, parameters, prompt.response_schema, images)
    for check in CHECKS.validate_python(before.checks):
        _judged(services, held, check)
    same = (
        "iterations", "models", "case_count", "checks", "concurrency", "timeout_seconds", "max_cost_usd", "stream",
    )  # fmt: skip
    made = Execution(**{name: getattr(before, name) for name in same})
    started = await _begin(session, services, prompt, made, key)
    await repository.copy_cases(session, before.id, made.id)
    return started, False


def routed(
    services: Services,
    held: Held,
    models: Sequence[str],
    parameters: Parameters,
    response_schema: dict[str, Any] | None,
    images: Sequence[Image],
) -> list[str]:
    """The full ids of models, each once. Raises a ``ModelError``, or ``ParameterNotTaken`` with every one at fault.

    A ``ModelError`` too for one that reads no such images, or cannot keep to a schema.
    """
    asked = [CompletionRequest.ask("?", model=one, response_schema=response_schema, images=images) for one in models]
    found = (services.gateway.check(one, _key(services, held, one.model)) for one in asked)
    routes = {route.id: route for route in found}
    errors = []
    for route, name in product(routes.values(), parameters.model_dump(exclude_none=True)):
        honoured = route.provider.honours(route.model)
        if name not in honoured:
            words = f"`{route.id}` does not take `{name}`. It takes: {', '.join(honoured) or 'none'}."
            errors.append({"loc": ["body", "parameters", name], "message": words})
    for route in routes.values():
        for name, words in route.provider.beyond(route.model, parameters).items():
            errors.append({"loc": ["body", "parameters", name], "message": words})
    if errors:
        raise ParameterNotTaken(f"{errors[0]['message']} Leave it out, or choose another model.", errors=errors)
    return list(routes)


def _key(services: Services, held: Held, model: str) -> str | None:
    """Stands for the key of their own that the job will ask with, where they hold one."""
    provider = services.gateway.provider(model)
    return None if provider is None else held.key_of(provider.name)


def _judged(services: Services, held: Held, check: Check) -> Check:
    """The same check, of a judge with the full id of its model. Raises a ``ModelError``."""
    if not isinstance(check, JudgeCheck):
        return check
    return check.model_copy(update={"model": services.gateway.route(check.model, _key(services, held, check.model)).id})


async def _begin(
    session: AsyncSession, services: Services, prompt: Prompt, made: Execution, key: idempotency.Request | None
) -> Started:
    made.id, made.owner_id, made.prompt_id = new_id(), prompt.owner_id, prompt.id
    asked = statuses.iterations(made)
    if len(asked) > MOST_JOBS:
        raise TooManyIterations(len(made.models), made.iterations, max(made.case_count, 1), MOST_JOBS)
    given = [
        IterationInput(execution_id=made.id, iteration_number=number, case_number=case, model=model, stream=made.stream)
        for number, case, model in asked
    ]
    kind = services.kinds.get(KIND)
    made.job_ids = await submit.submit_many(session, services, kind, given, ready=made.concurrency)
    session.add(made)
    if key is not None:
        await idempotency.remember(session, key, made.job_ids[0])
    await session.flush()
    return Started(execution_id=made.id, prompt_id=prompt.id)


async def _replayed(session: AsyncSession, key: idempotency.Request | None) -> Started | None:
    known = None if key is None else await idempotency.replay(session, key)
    job = None if known is None else await jobs.get(session, known)
    if job is None:
        return None
    made = await statuses.execution(session, IterationInput.model_validate(job.input).execution_id)
    return Started(execution_id=made.id, prompt_id=made.prompt_id)
