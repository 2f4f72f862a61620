"""``POST /v1/embeddings``: OpenAI's embeddings, at once and outside the queue; nothing is kept.

Errors leave in OpenAI's shape, as everything under ``/v1`` does (``core/completions/router``).
"""

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.auth.principal import Principal
from yeoul.core.embeddings.schemas import OpenAIEmbeddingRequest, openai_answer
from yeoul.core.http.leaving import CLIENT_LEFT, while_listened_to
from yeoul.core.llm.schemas import EmbeddingRequest, Embeddings
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post("/embeddings", responses={200: {"content": {"application/json": {}}}})
async def create_embeddings(
    body: OpenAIEmbeddingRequest, request: Request, principal: CurrentPrincipal, services: CurrentServices
) -> Response:
    """OpenAI's embeddings. Closing the connection ends the call. Much text is for a job of the kind `llm.embed`."""
    made = await while_listened_to(request, _asked(services, principal, body.question()))
    if made is None:
        return Response(status_code=CLIENT_LEFT)
    # In a thread: two thousand vectors are megabytes of JSON.
    content = await asyncio.to_thread(lambda: to_json(openai_answer(made, body.encoding_format or "float")))
    return Response(content, media_type="application/json")


async def _asked(services: Services, principal: Principal, question: EmbeddingRequest) -> Embeddings:
    key = await services.keys.key(principal.user_id, question.model, embeds=True)
    return await services.gateway.embed(question, key=key)
