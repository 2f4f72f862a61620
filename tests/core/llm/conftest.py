from collections.abc import AsyncGenerator, Callable

import pytest

from tests.core.llm import server
from yeoul.core.llm.gateway import Gateway, Retry
from yeoul.settings import Settings

Open = Callable[[Settings], Gateway]


@pytest.fixture
async def vendor_server() -> AsyncGenerator[server.Server]:
    async with server.running() as running:
        yield running


@pytest.fixture
async def open_gateway() -> AsyncGenerator[Open]:
    """Makes gateways that hardly wait between tries, and closes them."""
    made: list[Gateway] = []

    def make(settings: Settings) -> Gateway:
        made.append(Gateway(settings, retry=Retry(first=0.01, longest=1)))
        return made[-1]

    yield make
    for gateway in made:
        await gateway.aclose()
