"""A real server, and OpenAI's own client of it."""

from collections.abc import AsyncGenerator

import pytest
from openai import AsyncOpenAI

from tests.conftest import Account, Register


@pytest.fixture
async def account(register: Register) -> Account:
    return await register("mina")


@pytest.fixture
def token(account: Account) -> str:
    return account.headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
async def openai(address: str, token: str) -> AsyncGenerator[AsyncOpenAI]:
    """OpenAI's client; it asks only once, so that every answer is seen."""
    async with AsyncOpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0, timeout=30) as client:
        yield client
