"""``/api/models`` and the model service's own ``/models``, ``/generate``, ``/batch_generate``.

These ask a model at once, outside the queue: nothing is kept. Whoever wants an answer that survives a restart submits
a job of the kind ``llm.complete``.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any, cast

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from yeoul.core.auth.dependencies import CurrentPrincipal, current_principal
from yeoul.core.base.errors import YeoulError
from yeoul.core.events.sse import HEARTBEAT_SECONDS, EventStreamResponse
from yeoul.core.http import problems
from yeoul.core.http.leaving import CLIENT_LEFT, while_listened_to
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.own_keys import KeySource
from yeoul.core.llm.pump import Pump
from yeoul.core.llm.schemas import (
    Batch,
    BatchResult,
    Completed,
    CompletionRequest,
    Failed,
    Generate,
    Generated,
    Models,
    TextDelta,
)

AT_A_TIME = 4
SLOW_CLIENT_SECONDS = 30
"""How long a client may take to accept a piece: then we hang up, rather than keep the provider waiting."""
_PATIENCE_SECONDS = 10
"""How long an error may keep us from answering 200: after that it arrives inside the stream."""

log = structlog.get_logger(__name__)
router = APIRouter(tags=["models"], dependencies=[Depends(current_principal)])


def gateway(request: Request) -> Gateway:
    """The process's gateway."""
    return cast("Gateway", request.app.state.services.gateway)


def keys(request: Request) -> KeySource:
    """Whose key a call uses."""
    return cast("KeySource", request.app.state.services.keys)


GatewayDep = Annotated[Gateway, Depends(gateway)]
KeysDep = Annotated[KeySource, Depends(keys)]


@router.get("/api/models")
@router.get("/models")
async def list_models(gateway: GatewayDep, keys: KeysDep, principal: CurrentPrincipal) -> Models:
    """Every model, those you can use first; the others say what to do."""
    held = await keys.held(principal.user_id)
    listed = await asyncio.to_thread(gateway.models, held)  # the first listing reads the price list
    troubles = await gateway.troubles()
    models = [
        model.model_copy(update={"trouble": troubles.get(model.id) or troubles.get(model.provider)}) for model in listed
    ]
    default = next((model.id for model in models if model.default), None)
    return Models(models=models, default=default, default_embedding=gateway.default_embedding())


@router.post(
    "/generate",
    response_model=Generated,
    responses={
        200: {
            "description": 'The answer; with `stream: true` as `data: {"text": "…"}` … `data: {"done": true, …}`, or '
            '`data: {"error": {…}}` when it fails midway.',
            "content": {"text/event-stream": {}},
        }
    },
)
async def generate(
    body: Generate, request: Request, gateway: GatewayDep, keys: KeysDep, principal: CurrentPrincipal
) -> Generated | Response:
    """Asks a model. Closing the connection ends the call."""
    key = await keys.key(principal.user_id, body.model)
    if not body.stream:
        done = await while_listened_to(request, gateway.complete(body.question(), key=key))
        return Response(status_code=CLIENT_LEFT) if done is None else Generated.of(done)
    pump = Pump(gateway, body.question(), key)
    opened = None
    try:
        opened = await while_listened_to(request, pump.opened(_PATIENCE_SECONDS))
    finally:
        if opened is None:
            await pump.stop()
    if opened is None:
        return Response(status_code=CLIENT_LEFT)
    return _LiveAnswer(pump, request)


@router.post("/batch_generate")
async def batch_generate(
    body: Batch, request: Request, gateway: GatewayDep, keys: KeysDep, principal: CurrentPrincipal
) -> BatchResult:
    """Asks several questions, four at a time; one that fails does not fail the others."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(question: CompletionRequest) -> Generated | Failed:
        try:
            async with turn:
                key = await keys.key(principal.user_id, question.model)
                return Generated.of(await gateway.complete(question, key=key))
        except Exception as error:  # noqa: BLE001  (the others' answers must not be lost with it)
            return Failed(error=_problem(error, request))

    async def every() -> list[Generated | Failed]:
        return await asyncio.gather(*(one(item.question()) for item in body.requests))

    return BatchResult(results=await while_listened_to(request, every()) or [])


async def _events(pump: Pump, request: Request) -> AsyncGenerator[str]:
    try:
        while True:
            item = await pump.next(HEARTBEAT_SECONDS)
            match item:
                case None:
                    yield ": still here\n\n"
                case TextDelta(text=text):
                    yield _event({"text": text})
                case Completed():
                    yield _event({"done": True} | Generated.of(item).model_dump(mode="json", exclude={"text"}))
                    return
    except Exception as error:  # noqa: BLE001  (the answer has begun: the error goes into it)
        yield _event({"error": _problem(error, request)})


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _problem(error: Exception, request: Request) -> dict[str, Any]:
    if isinstance(error, YeoulError):
        response = problems.render(error, request)
    else:
        log.error("model call failed", exc_info=error)
        response = problems.render_internal(request)
    document: dict[str, Any] = json.loads(bytes(response.body))
    return document


class _LiveAnswer(EventStreamResponse):
    """A model's answer as it is made. However it ends, and whether it began at all, the call to the provider ends.

    Hangs up on a client that does not read.
    """

    def __init__(self, pump: Pump, request: Request) -> None:
        headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(_events(pump, request), headers=headers)
        self._pump = pump

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pump.stop()

    async def stream_response(self, send: Send) -> None:
        async def patient(message: AsgiMessage) -> None:
            async with asyncio.timeout(SLOW_CLIENT_SECONDS):
                await send(message)

        try:
            await super().stream_response(patient)
        except TimeoutError:
            log.info("client does not read its answer: hung up", seconds=SLOW_CLIENT_SECONDS)
