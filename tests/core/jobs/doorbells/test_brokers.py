"""A broker that is down, dies, hangs or comes back: work goes on, and the bell returns by itself."""

import asyncio
import contextlib
import gc
import time
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from tests.brokers import Broker
from tests.conftest import process
from tests.core.jobs.doorbells.conftest import Home
from tests.core.runtime.helpers import add, echo, until, until_status
from tests.ports import free_port
from yeoul.core.base.readiness import Note
from yeoul.core.jobs.doorbells import broker as broker_module
from yeoul.core.jobs.doorbells.rabbitmq import RabbitDoorbell
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings

BY_THE_CLOCK = 2.5
"""Seconds within which a job starts that no ring announces."""


async def test_jobs_run_while_it_is_down_and_that_is_shown(
    redis: Broker, settings: Settings, urls: DatabaseUrls, user_id: UUID
) -> None:
    def connected() -> float | None:
        return REGISTRY.get_sample_value("yeoul_doorbell_connected")

    async def is_there() -> bool:
        return connected() == 1

    async def is_away() -> bool:
        return connected() == 0

    redis.start()
    rung = settings.model_copy(update={"doorbell": redis.url})
    async with process(rung, urls, echo, workers=1) as (services, _):
        await until(is_there)
        assert await services.readiness["doorbell"]() is None
        redis.kill()
        try:
            await until(is_away)
            assert isinstance(await services.readiness["doorbell"](), Note)
            async with asyncio.timeout(BY_THE_CLOCK):
                await until_status(services, user_id, await add(services, user_id, echo), "succeeded")
        finally:
            await asyncio.to_thread(redis.start)
        await until(is_there)
    assert connected() == 0


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
async def test_a_process_starts_works_and_stops_without_it(
    scheme: str, settings: Settings, urls: DatabaseUrls, user_id: UUID
) -> None:
    nobody = settings.model_copy(update={"doorbell": f"{scheme}://127.0.0.1:{free_port()}"})
    async with process(nobody, urls, echo, workers=1) as (services, _):
        assert services.doorbell.trouble is not None
        async with asyncio.timeout(BY_THE_CLOCK):
            await until_status(services, user_id, await add(services, user_id, echo), "succeeded")
        began = time.perf_counter()
    assert time.perf_counter() - began < 3


def test_a_try_in_vain_leaves_nothing_that_closes_itself() -> None:
    """Whenever garbage is collected: pytest makes an error of a coroutine that nobody awaited."""

    async def name() -> str:
        return "yeoul"

    async def attempt() -> None:
        async with RabbitDoorbell(f"amqp://127.0.0.1:{free_port()}", name)._link("yeoul", lambda: None):
            pass

    asyncio.set_event_loop(None)  # as it is between two tests
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        with pytest.raises(ConnectionError):  # holds what was left until no loop runs
            loop.run_until_complete(attempt())
        gc.collect()


async def test_one_that_hangs_is_let_go(broker: Broker, urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "ANSWER_SECONDS", 0.3)
    home = Home(broker.url, urls)
    await home.start()
    await home.until_connected()
    broker.freeze()
    try:
        home.bell.ring()
        await home.until_lost()
    finally:
        broker.thaw()
    heard = home.heard
    await home.until_connected()
    await home.until_heard(heard + 2)  # connected again, and the ring that had waited
    broker.freeze()
    try:
        home.bell.ring()
        began = time.perf_counter()
        await home.stop()
        assert time.perf_counter() - began < broker_module.STOP_SECONDS + 2
    finally:
        broker.thaw()


async def test_a_silent_connection_is_found_out(
    redis: Broker, urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yeoul.core.jobs.doorbells.redis.QUIET_SECONDS", 0.1)
    home = Home(redis.url, urls)
    try:
        await home.start()
        await home.until_connected()
        redis.freeze()
        await home.until_lost()
    finally:
        redis.thaw()
        await home.until_connected()
        await home.stop()
