"""``/api/prompts``: execute prompts, read how they went, watch them, cancel them, take their results away.

An id in a path is a prompt's or an execution's; a prompt's means its latest execution.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response, status
from starlette.responses import StreamingResponse

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.auth.principal import Principal
from yeoul.core.base import json
from yeoul.core.base.pagination import Limit, Page
from yeoul.core.events.sse import HEARTBEAT_SECONDS, EventStreamResponse
from yeoul.core.jobs import idempotency
from yeoul.core.llm.images import MOST_IMAGES
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.playground import cases, executing, export, live, questions, service, snippets, statuses
from yeoul.playground.cases import MOST_CASES
from yeoul.playground.requests import Execute
from yeoul.playground.schemas import HistoryItem, PromptDetail, Started, StatusOut

router = APIRouter(prefix="/api/prompts", tags=["playground"])

LONGEST_CURSOR = 8192
_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, description="The same key twice makes one execution.")
]
Cursor = Annotated[str | None, Query(max_length=LONGEST_CURSOR, description="The id of the last event you hold.")]
ImageNumber = Annotated[int, Path(ge=1, le=MOST_IMAGES)]
LastEventId = Annotated[
    str | None, Header(max_length=LONGEST_CURSOR, description="What browsers send instead of `after`.")
]


@router.post("/execute", status_code=status.HTTP_202_ACCEPTED)
async def execute(
    body: Execute,
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    services: CurrentServices,
    idempotency_key: IdempotencyKey = None,
) -> Started:
    """Executes a new prompt: prompt, execution and all its jobs are there when this answers, or none."""
    key = await _key(request, principal, idempotency_key)
    held = await services.keys.held(principal.user_id)
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        started, again = await executing.execute(session, services, principal.user_id, body, key, held)
    return _located(response, started, again=again)


@router.post("/{prompt_id}/execute", status_code=status.HTTP_202_ACCEPTED)
async def execute_again(
    prompt_id: UUID,
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    services: CurrentServices,
    idempotency_key: IdempotencyKey = None,
) -> Started:
    """Executes a prompt again, exactly as before: a new execution of the same prompt.

    Give an execution's id to repeat that one rather than the latest.
    """
    key = await _key(request, principal, idempotency_key)
    held = await services.keys.held(principal.user_id)
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        started, again = await executing.replay(session, services, principal.user_id, prompt_id, key, held)
    return _located(response, started, again=again)


@router.post("/cases", openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {}}}})
async def read_cases(request: Request, _: CurrentPrincipal) -> cases.Table:
    """Reads a CSV file of cases: UTF-8, separated by commas, semicolons or tabs. Its first row names the variables."""
    return cases.parse(await request.body())


@router.get("")
async def list_prompts(
    principal: CurrentPrincipal,
    services: CurrentServices,
    search: Annotated[
        str | None, Query(max_length=200, pattern="^[^\0]*$", description="Words of the prompts, or of the model.")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[Limit, Query()] = 20,
) -> Page[HistoryItem]:
    """Your prompts, newest first, each with its latest execution."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.history(session, search=search, cursor=cursor, limit=limit)


@router.get("/{prompt_id}")
async def read_prompt(prompt_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> PromptDetail:
    """A prompt and its executions."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.detail(session, prompt_id)


@router.delete("/{prompt_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_prompt(prompt_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Deletes a prompt with its executions, results and jobs. What still runs is canceled, and what it said emptied."""
    async with services.database.as_user(principal.user_id) as session:
        await service.delete(session, services, prompt_id)


@router.get("/{prompt_id}/status")
async def read_status(prompt_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> StatusOut:
    """An execution: its results so far, how far the others are, and each model in numbers."""
    async with services.database.as_user(principal.user_id) as session:
        return await statuses.status(session, prompt_id)


@router.post("/{prompt_id}/cancel")
async def cancel(prompt_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> StatusOut:
    """Cancels what is left of an execution, and says how it stands. What has ended stays as it ended."""
    async with services.database.as_user(principal.user_id) as session:
        await service.cancel(session, services, prompt_id)
    async with services.database.as_user(principal.user_id) as session:
        return await statuses.status(session, prompt_id)


@router.post("/{prompt_id}/iterations/{iteration_id}/cancel")
async def cancel_iteration(
    prompt_id: UUID, iteration_id: UUID, principal: CurrentPrincipal, services: CurrentServices
) -> StatusOut:
    """Cancels one iteration, by a result's id or a job's, and says how its execution stands."""
    async with services.database.as_user(principal.user_id) as session:
        execution_id = await service.cancel_iteration(session, services, prompt_id, iteration_id)
    async with services.database.as_user(principal.user_id) as session:
        return await statuses.status(session, execution_id)


@router.get("/{prompt_id}/images/{number}", response_class=Response)
async def read_image(
    prompt_id: UUID, number: ImageNumber, principal: CurrentPrincipal, services: CurrentServices
) -> Response:
    """An image of a prompt, from 1."""
    async with services.database.as_user(principal.user_id) as session:
        media_type, data = await service.image(session, prompt_id, number)
    return Response(data, media_type=media_type, headers={"Cache-Control": "private, max-age=86400, immutable"})


@router.get("/{prompt_id}/events", response_class=EventStreamResponse)
async def watch(
    prompt_id: UUID,
    principal: CurrentPrincipal,
    services: CurrentServices,
    after: Cursor = None,
    last_event_id: LastEventId = None,
) -> Response:
    """An execution live: `chunk`, `complete`, `error` of each iteration as they come, then `end`.

    From its start, or after the event you hold last; 204 when there is nothing after it.
    """
    cursor = last_event_id if last_event_id is not None else after
    reader = await live.follow(services, principal.user_id, prompt_id, cursor)
    if reader.over:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return EventStreamResponse(_frames(reader), headers=_HEADERS)


async def _frames(reader: live.Live) -> AsyncGenerator[str]:
    yield ": open\n\n"
    async with aclosing(reader.messages(HEARTBEAT_SECONDS)) as batches:
        async for batch in batches:
            yield "".join(map(_frame, batch)) if batch else ": still here\n\n"


def _frame(message: live.Message) -> str:
    return f"id: {message.cursor}\nevent: {message.type}\ndata: {json.dumps(message.data)}\n\n"


@router.get("/{prompt_id}/code")
async def read_code(  # noqa: PLR0913, PLR0917  (its query parameters)
    prompt_id: UUID,
    request: Request,
    principal: CurrentPrincipal,
    services: CurrentServices,
    language: Annotated[snippets.Language, Query()] = "curl",
    client: Annotated[snippets.Client | None, Query(description="`openai` or `httpx`; `openai` or `fetch`.")] = None,
    target: Annotated[snippets.Target, Query(description="This installation, or the model's provider.")] = "gateway",
    model: Annotated[str | None, Query(max_length=200, description="One of the execution's models.")] = None,
    case: Annotated[int, Query(ge=1, le=MOST_CASES, description="Which of the execution's cases it asks.")] = 1,
) -> snippets.Snippet:
    """A program that asks the same. It holds no key: those are read from the environment."""
    gateway_url = f"{(services.settings.public_url or str(request.base_url)).rstrip('/')}/v1"
    async with services.database.as_user(principal.user_id) as session:
        question = await questions.question(session, prompt_id, model, case, gateway_url)
    return snippets.write(question, language, client, target)


@router.get("/{prompt_id}/export", response_class=StreamingResponse)
async def export_results(
    prompt_id: UUID,
    principal: CurrentPrincipal,
    services: CurrentServices,
    form: Annotated[export.Format, Query(alias="format")] = "json",
    bom: Annotated[bool, Query(description="Begin a CSV file so that Excel takes it for UTF-8.")] = False,  # noqa: FBT002
) -> StreamingResponse:
    """The results as a file: an execution's, or all of a prompt's. CSV cells are safe to open in a spreadsheet."""
    text = export.export(services, principal.user_id, prompt_id, form, bom=bom)
    head = await anext(text)  # an error until here has a status of its own
    return StreamingResponse(
        _after(head, text),
        media_type=export.MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="results-{prompt_id}.{form}"'},
    )


async def _after(head: str, rest: AsyncGenerator[str]) -> AsyncGenerator[str]:
    yield head
    async with aclosing(rest):
        async for text in rest:
            yield text


async def _key(request: Request, principal: Principal, key: str | None) -> idempotency.Request | None:
    if key is None:
        return None
    return idempotency.Request(principal.user_id, request.method, request.url.path, key, await request.body())


def _located(response: Response, started: Started, *, again: bool) -> Started:
    response.headers["Location"] = f"/api/prompts/{started.execution_id}/status"
    if again:
        response.headers["Idempotency-Replayed"] = "true"
    return started
