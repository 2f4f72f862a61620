"""What a prompt asks of one model, as programs ask it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.playground import repository, service, statuses
from yeoul.playground.cases import fill
from yeoul.playground.errors import NeverExecuted, NoSuchSnippet
from yeoul.playground.snippets import Question


async def question(session: AsyncSession, either: UUID, model: str | None, case: int, gateway_url: str) -> Question:
    """What a prompt asks: one of its execution's models (null: the first), with one of its cases.

    Raises ``PromptNotFound`` and ``NoSuchSnippet``.
    """
    prompt = await service.prompt(session, either)
    try:
        asked = await statuses.execution(session, either)
    except NeverExecuted:
        asked = None
    models = [prompt.selected_model] if asked is None else asked.models
    if model is not None and model not in models:
        raise NoSuchSnippet(f"This prompt was not asked of `{model}`. It was asked of: {', '.join(models)}.")
    values = None if asked is None else await repository.case(session, asked.id, case)
    if prompt.variables and values is None:
        count = 0 if asked is None else asked.case_count
        raise NoSuchSnippet(f"The prompt has variables, and there is no case {case}: its execution has {count}.")
    return Question(
        system_prompt=None if prompt.system_prompt is None else fill(prompt.system_prompt, values or {}),
        user_prompt=fill(prompt.user_prompt, values or {}),
        parameters=prompt.parameters,
        model=model or models[0],
        gateway_url=gateway_url,
        response_schema=prompt.response_schema,
        images=await repository.pictures(session, prompt),
    )
