"""An OpenAI of our own: it looks at the key it is asked with, and answers with its last four characters."""

from collections.abc import AsyncGenerator

import pytest

from tests.core.llm import server
from tests.core.llm.vendors import OpenAI
from yeoul.settings import Settings

OURS = "sk-installation-key-0000"
MINAS = "sk-mina-own-key-1111"
JUNS = "sk-jun-own-key-2222"
BAD = "sk-nobody-knows-this-bad1"
EMPTY = "sk-an-account-without-money-9999"
DOWN = "sk-the-server-hangs-up-8888"
KEYS = (OURS, MINAS, JUNS, BAD, EMPTY, DOWN)


def key_of(asked: server.Asked) -> str:
    """The key a request came with."""
    return asked.headers["authorization"].removeprefix("Bearer ")


async def openai(asked: server.Asked, answer: server.Answer) -> None:
    """Refuses keys it does not know, repeating them as some providers do."""
    key = key_of(asked)
    if key not in KEYS or key == BAD:
        said = f"Incorrect API key provided: {key}. Find yours at https://example.com/keys."
        await answer.json(401, {"error": {"message": said, "type": "invalid_request_error", "code": "invalid_api_key"}})
    elif key == EMPTY:
        said = f"You exceeded your current quota with {key}."
        await answer.json(429, {"error": {"message": said, "type": "insufficient_quota", "code": "insufficient_quota"}})
    elif key == DOWN:
        answer.hang_up()
    elif asked.path.endswith("/embeddings"):
        texts = asked.body["input"]
        data = [{"object": "embedding", "index": n, "embedding": [float(key[-1]), 1.0]} for n in range(len(texts))]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        await answer.json(200, {"object": "list", "data": data, "model": asked.body["model"], "usage": usage})
    else:
        await answer.open_stream()
        for event in OpenAI().events([f"answered to {key[-4:]}"]):
            await answer.piece(event)
        await answer.end()


@pytest.fixture
async def vendor() -> AsyncGenerator[server.Server]:
    async with server.running() as running:
        running.scripts = [openai]
        yield running


@pytest.fixture
def settings(settings: Settings, vendor: server.Server) -> Settings:
    """An installation with a key of its own for OpenAI."""
    return settings.model_copy(
        update=Settings(_env_file=None, openai_api_key=OURS, openai_base_url=vendor.url).model_dump(
            include={"openai_api_key", "openai_base_url"}
        )
    )
