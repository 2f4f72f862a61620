"""OpenAI's ``/v1``, the AI SDK's and AG-UI's endpoints. Each request is one job of the kind ``llm.complete``."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Header, Query, Request, Response, status
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.auth.principal import Principal
from yeoul.core.completions import service
from yeoul.core.completions.dialects.ag_ui import AGUIEncoder
from yeoul.core.completions.dialects.base import Encoder
from yeoul.core.completions.dialects.chat import ChatEncoder, completion
from yeoul.core.completions.dialects.responses import ResponsesEncoder
from yeoul.core.completions.dialects.ui import UIEncoder
from yeoul.core.completions.errors import openai_error, openai_status
from yeoul.core.completions.requests import ChatRequest, ResponsesRequest, RunInput, UIRequest
from yeoul.core.completions.service import Begun
from yeoul.core.events.schemas import Event
from yeoul.core.events.sse import HEARTBEAT_SECONDS, EventStreamResponse
from yeoul.core.http.problems import MEDIA_TYPE
from yeoul.core.jobs import idempotency
from yeoul.core.jobs import service as jobs
from yeoul.core.llm.errors import UnknownModel
from yeoul.core.llm.schemas import DEFAULT_MODEL
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
_UI_HEADERS = {**_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
_CLIENT_LEFT = 499
_PATIENCE_SECONDS = 10
"""How long a chat completion waits for its first text, so that an error until then has a status of its own."""
_CANCEL_SECONDS = 10

Result = TypeVar("Result")

openai = APIRouter(prefix="/v1", tags=["openai"])
ui = APIRouter(prefix="/api/ai-sdk/chat", tags=["ai-sdk"])
ag_ui = APIRouter(prefix="/api/ag-ui", tags=["ag-ui"])

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, description="The same twice: one job.")]
ClientId = Annotated[str, "The client's id of the chat or the run."]
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


def install(app: FastAPI) -> None:
    """Adds the routes, and has every error under ``/v1`` leave in OpenAI's shape. Call it after ``core.http``'s own."""
    app.add_middleware(OpenAIErrorsMiddleware)
    for router in (openai, ui, ag_ui):
        app.include_router(router)


class OpenAIErrorsMiddleware:
    """Turns problem documents under ``/v1/`` into OpenAI's errors, whoever made them: routes, limits, the barrier."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def translated(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type", "").startswith(MEDIA_TYPE):
                    start = message
                    return
            elif start is not None and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                translation = json.dumps(openai_error(json.loads(body)), ensure_ascii=False).encode()
                headers = MutableHeaders(raw=start["headers"])
                headers["content-type"], headers["content-length"] = "application/json", str(len(translation))
                begin, start = {**start, "status": openai_status(start["status"]), "headers": headers.raw}, None
                await send(begin)
                message = {"type": "http.response.body", "body": translation}
            await send(message)

        await self._app(scope, receive, translated)


class _Frames(EventStreamResponse):
    """A job in a dialect's words. ``attended``: the job is canceled when the client leaves before its end."""

    def __init__(
        self, services: Services, principal: Principal, begun: Begun, encoder: Encoder, *,
        attended: bool = False, headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._left = attended
        self._cancel = partial(service.cancel, services, principal, begun.asked.job_id)
        super().__init__(self._frames(begun, encoder), headers=headers or _HEADERS)

    async def _frames(self, begun: Begun, encoder: Encoder) -> AsyncGenerator[str]:
        yield encoder.open() or ": open\n\n"
        if wire := _taken(encoder, begun.watch.before):
            yield wire
        subscription = begun.watch.subscription
        async with subscription, aclosing(subscription.batches(HEARTBEAT_SECONDS)) as batches:
            async for batch in batches:
                wire = _taken(encoder, batch) if batch else ": still here\n\n"
                if wire:
                    yield wire
                if encoder.ended:
                    break
        if not encoder.ended:
            yield encoder.cut()
        self._left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._left:
                await self._cancel()


def _taken(encoder: Encoder, events: list[Event]) -> str:
    wire = []
    for event in events:
        wire.append(encoder.take(event))
        if encoder.ended:
            break
    return "".join(wire)


async def _attended(
    services: Services, principal: Principal, request: Request, begun: Begun, work: Coroutine[Any, Any, Result]
) -> Result | None:
    """The result of ``work``. When the client leaves first (null), or the work fails, the job is canceled."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    finished = False
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        result = working.result() if working.done() else None
        finished = working.done()
        return result
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})
        if not finished:  # canceling what has ended changes nothing
            await service.cancel(services, principal, begun.asked.job_id)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _key(request: Request, principal: Principal, key: str | None) -> idempotency.Request | None:
    if key is None:
        return None
    return idempotency.Request(principal.user_id, request.method, request.url.path, key, await request.body())


@openai.get("/models")
async def list_models(principal: CurrentPrincipal, services: CurrentServices) -> dict[str, Any]:
    """The models you can use, `default` first."""
    models = await asyncio.to_thread(services.gateway.models, await services.keys.held(principal.user_id))
    usable = [(model.id, model.provider) for model in models if model.available]
    return {"object": "list", "data": [_model(*one) for one in [(DEFAULT_MODEL, "yeoul"), *usable]]}


@openai.get("/models/{model_id:path}")
async def read_model(model_id: str, _: CurrentPrincipal, services: CurrentServices) -> dict[str, Any]:
    """One model."""
    if model_id == DEFAULT_MODEL:
        return _model(model_id, "yeoul")
    models = await asyncio.to_thread(services.gateway.models)
    for model in models:
        if model.id == model_id:
            return _model(model.id, model.provider)
    raise UnknownModel(f"There is no model `{model_id}` in the list. GET /v1/models shows what there is.")


def _model(model_id: str, owner: str) -> dict[str, Any]:
    return {"id": model_id, "object": "model", "created": 0, "owned_by": owner}


@openai.post("/chat/completions", response_model=None, responses=_STREAM)
async def create_completion(
    body: ChatRequest, request: Request, principal: CurrentPrincipal, services: CurrentServices,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any] | Response:  # fmt: skip
    """OpenAI's chat completion. Closing the connection cancels the job."""
    begun = await service.begin(services, principal, body.question(), await _key(request, principal, idempotency_key))
    if not body.stream:
        output = await _attended(services, principal, request, begun, service.output(begun))
        return Response(status_code=_CLIENT_LEFT) if output is None else completion(begun.asked, output)
    if not await _attended(services, principal, request, begun, service.started(services, begun, _PATIENCE_SECONDS)):
        return Response(status_code=_CLIENT_LEFT)
    encoder = ChatEncoder(begun.asked, include_usage=body.include_usage)
    return _Frames(services, principal, begun, encoder, attended=True)


@openai.post("/responses", response_model=None, responses=_STREAM)
async def create_response(
    body: ResponsesRequest, request: Request, principal: CurrentPrincipal, services: CurrentServices,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any] | Response:  # fmt: skip
    """OpenAI's response. Closing the connection cancels the job, unless it has `background`."""
    begun = await service.begin(services, principal, body.question(), await _key(request, principal, idempotency_key))
    if body.stream:
        encoder = ResponsesEncoder(begun.asked)
        return _Frames(services, principal, begun, encoder, attended=not body.background)
    if not body.background and await _attended(services, principal, request, begun, service.output(begun)) is None:
        return Response(status_code=_CLIENT_LEFT)
    async with services.database.as_user(principal.user_id) as session:
        return await service.read(session, await service.find(session, begun.asked.response_id))


@openai.get("/responses/{response_id}", response_model=None, responses=_STREAM)
async def read_response(
    response_id: str,
    principal: CurrentPrincipal,
    services: CurrentServices,
    stream: Annotated[bool, Query(description="Its events, after `starting_after`, then live.")] = False,  # noqa: FBT002
    starting_after: Annotated[
        int | None, Query(ge=0, lt=2**63, description="The sequence_number of the last event you hold.")
    ] = None,
) -> dict[str, Any] | Response:
    """A response: now, or as a stream from any event on. Reading never changes it."""
    async with services.database.as_user(principal.user_id) as session:
        job = await service.find(session, response_id)
        if not stream:
            return await service.read(session, job)
        begun = Begun(service.asked(job), await jobs.watch(session, services.events, job.id, 0))
    # Without its log nobody knows what a number stood for: everything comes again, with higher ones.
    base = starting_after + 1 if begun.watch.over and starting_after is not None else begun.watch.base
    encoder = ResponsesEncoder(begun.asked, starting_after, base=base)
    return _Frames(services, principal, begun, encoder)


@openai.post("/responses/{response_id}/cancel")
async def cancel_response(response_id: str, principal: CurrentPrincipal, services: CurrentServices) -> dict[str, Any]:
    """Cancels a response, and answers once it has ended. One that has ended before stays as it ended."""
    async with services.database.as_user(principal.user_id) as session:
        job_id = (await service.find(session, response_id)).id
    await service.cancel_and_wait(services, principal, job_id, _CANCEL_SECONDS)
    async with services.database.as_user(principal.user_id) as session:
        return await service.read(session, await service.find(session, response_id))


@ui.post("", response_class=EventStreamResponse)
async def create_message(body: UIRequest, principal: CurrentPrincipal, services: CurrentServices) -> Response:
    """A message of the AI SDK's `useChat`. It goes on when the connection closes: resume it, or stop it."""
    begun = await service.begin(services, principal, body.question())
    return _Frames(services, principal, begun, UIEncoder(begun.asked), headers=_UI_HEADERS)


@ui.get("/{chat_id:path}/stream", response_class=EventStreamResponse)
async def resume_message(chat_id: ClientId, principal: CurrentPrincipal, services: CurrentServices) -> Response:
    """The newest message of a chat, from its start; 204 when none is under way or ended in the last five minutes."""
    found = await service.resume(services, principal, "ai-sdk", chat_id)
    if found is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    begun, void = found
    return _Frames(services, principal, begun, UIEncoder(begun.asked, void), headers=_UI_HEADERS)


@ui.post("/{chat_id:path}/stop", status_code=status.HTTP_204_NO_CONTENT)
async def stop_message(chat_id: ClientId, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Cancels the message under way in a chat; without one, does nothing."""
    await service.stop(services, principal, "ai-sdk", chat_id)


@ag_ui.post("", response_class=EventStreamResponse)
async def create_run(body: RunInput, principal: CurrentPrincipal, services: CurrentServices) -> Response:
    """A run of AG-UI's `HttpAgent`. It goes on when the connection closes: resume it, or stop it."""
    begun = await service.begin(services, principal, body.question())
    return _Frames(services, principal, begun, AGUIEncoder(begun.asked))


@ag_ui.get("/{run_id:path}/stream", response_class=EventStreamResponse)
async def resume_run(run_id: ClientId, principal: CurrentPrincipal, services: CurrentServices) -> Response:
    """A run, from its start; 204 when it ended over five minutes ago, or never began."""
    found = await service.resume(services, principal, "ag-ui", run_id)
    if found is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    begun, void = found
    return _Frames(services, principal, begun, AGUIEncoder(begun.asked, void))


@ag_ui.post("/{run_id:path}/stop", status_code=status.HTTP_204_NO_CONTENT)
async def stop_run(run_id: ClientId, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Cancels a run under way; without one, does nothing."""
    await service.stop(services, principal, "ag-ui", run_id)
