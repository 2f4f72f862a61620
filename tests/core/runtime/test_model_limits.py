"""Jobs and the limits of their models: two processes' worth of services, one provider that counts."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import Register, process
from tests.core.llm.server import Answer, Asked, Server, running
from tests.core.llm.vendors import Compatible
from tests.core.runtime.helpers import events, read, until, until_status
from yeoul.core.completions.handlers import complete
from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.llm.gateway import Gateway, Retry
from yeoul.core.llm.limits import Limiter
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.core.runtime.submit import submit
from yeoul.setting_types import ModelLimit
from yeoul.settings import Settings

MODEL = Compatible.model


class Provider:
    """A real HTTP server in the shape of OpenAI's: says yes, or what ``refuses`` says; keeps when it was asked."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.times: list[float] = []
        self.refuses: list[tuple[int, dict[str, str]]] = []
        self.down = False
        self.at_once = self.most_at_once = 0
        self.headers: dict[str, str] = {}
        server.scripts = [self._script]

    async def _script(self, _asked: Asked, answer: Answer) -> None:
        self.times.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.down or self.refuses:
                status, headers = (500, {}) if self.down else self.refuses.pop(0)
                await answer.json(status, Compatible().error(status), headers)
                return
            await answer.head(
                200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **self.headers}
            )
            for event in Compatible().events(["Yes."]):
                await answer.piece(event)
            await answer.end()
        finally:
            self.at_once -= 1

    def most_within(self, seconds: float) -> int:
        return max(sum(start <= at < start + seconds for at in self.times) for start in self.times)


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    async with running() as server:
        yield Provider(server)


@pytest.fixture
def chosen(settings: Settings, provider: Provider) -> Settings:
    return settings.model_copy(update={"compatible_base_url": provider.url, "compatible_models": ["some-model"]})


async def two_processes(
    stack: AsyncExitStack, settings: Settings, urls: DatabaseUrls, *, window: float = 60
) -> Services:
    """Two processes with a worker each; a minute has ``window`` seconds."""
    made: list[Services] = []
    for _ in range(2):
        services, _ = await stack.enter_async_context(process(settings, urls, complete, workers=1))
        limiter = Limiter(settings, services.database, window=window)
        stack.push_async_callback(limiter.aclose)
        services.gateway = Gateway(settings, retry=Retry(first=0.01), limiter=limiter)
        stack.push_async_callback(services.gateway.aclose)
        made.append(services)
    return made[0]


async def add(services: Services, user_id: UUID, *, model: str = MODEL, max_attempts: int = 1) -> UUID:
    given = CompleteInput.model_validate({"model": model, "prompt": "Well?"})
    async with services.database.as_user(user_id) as session:
        return (await submit(session, services, complete, given, max_attempts=max_attempts)).id


async def test_two_processes_never_ask_more_than_the_limit(
    chosen: Settings, urls: DatabaseUrls, user_id: UUID, provider: Provider
) -> None:
    limit = ModelLimit(requests_per_minute=6)
    settings = chosen.model_copy(update={"model_limits": {MODEL: limit}})
    async with AsyncExitStack() as stack:
        services = await two_processes(stack, settings, urls, window=3)
        jobs = [await add(services, user_id) for _ in range(18)]
        said = [await events(services, user_id, job) for job in jobs]
        found = [await read(services, user_id, job) for job in jobs]
    assert {job.status for job in found} == {"succeeded"}
    assert {job.attempt for job in found} == {1}  # to wait costs none
    assert len(provider.times) == 18  # and nobody asked in vain
    assert provider.most_within(2) <= 6  # by the server's clock; a second for calls that were slow to arrive
    for log in said:
        logged = [(seq, kind, json.loads(data)) for seq, kind, data in log if seq is not None]
        assert [seq for seq, _, _ in logged] == list(range(1, len(logged) + 1))
        for _, kind, data in logged:
            if kind == "retrying":
                assert (data["attempt"], data["void_after"], data["error"]["code"]) == (1, 0, "model_held")
                assert data["in_seconds"] > 0
    assert sum(kind == "retrying" for log in said for _, kind, _ in log) >= 12


async def test_a_429_holds_all_processes_and_costs_no_attempt(
    chosen: Settings, urls: DatabaseUrls, user_id: UUID, provider: Provider
) -> None:
    provider.refuses = [(429, {"Retry-After": "2"})]
    async with AsyncExitStack() as stack:
        services = await two_processes(stack, chosen, urls)
        first = await add(services, user_id)
        await until(lambda: len(provider.times) == 1)
        await until_status(services, user_id, first, "queued")
        others = [await add(services, user_id) for _ in range(6)]
        free = await add(services, user_id, model="fake/echo")  # no other model waits with it
        assert (await events(services, user_id, free))[-1][1] == "succeeded"
        assert len(provider.times) == 1
        for job in (first, *others):
            assert (await events(services, user_id, job))[-1][1] == "succeeded"
        assert {(await read(services, user_id, job)).attempt for job in (first, *others)} == {1}
    assert len(provider.times) == 8
    assert min(provider.times[1:]) - provider.times[0] > 1.95


async def test_a_pause_told_on_a_good_answer_is_kept_too(
    chosen: Settings, urls: DatabaseUrls, user_id: UUID, provider: Provider
) -> None:
    provider.headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"}
    async with AsyncExitStack() as stack:
        services = await two_processes(stack, chosen, urls)
        first = await add(services, user_id)
        assert (await events(services, user_id, first))[-1][1] == "succeeded"

        async def held() -> bool:
            return bool(await services.gateway.troubles())

        await until(held)
        second = await add(services, user_id)
        found = await read(services, user_id, second)

        async def refused() -> bool:
            nonlocal found
            found = await read(services, user_id, second)
            return found.error is not None

        await until(refused)
    assert len(provider.times) == 1
    assert found.error is not None
    assert found.error["code"] == "model_held"
    assert found.run_at is not None
    assert 50 < (found.run_at - found.created_at).total_seconds() <= 60


async def test_an_outage_is_waited_out(chosen: Settings, urls: DatabaseUrls, user_id: UUID, provider: Provider) -> None:
    settings = chosen.model_copy(update={"breaker_failures": 3, "breaker_seconds": 0.6})
    provider.down = True
    async with AsyncExitStack() as stack:
        services = await two_processes(stack, settings, urls)
        jobs = [await add(services, user_id, max_attempts=3)]

        async def is_open() -> bool:
            found = (await services.gateway.troubles()).get(MODEL)
            return found is not None and found.breaker != "closed"

        await until(is_open)
        note = await services.readiness["models"]()
        assert note is not None
        assert f"`{MODEL}` is not answering" in note
        asked = len(provider.times)
        assert asked >= 3  # it may have been tried once more since
        provider.most_at_once = 0
        jobs += [await add(services, user_id) for _ in range(8)]
        free = await add(services, user_id, model="fake/echo")
        assert (await events(services, user_id, free))[-1][1] == "succeeded"
        await until(lambda: len(provider.times) >= asked + 2)  # two tries in vain
        assert provider.most_at_once == 1
        provider.down = False
        for job in jobs:
            assert (await events(services, user_id, job))[-1][1] == "succeeded"
        assert {(await read(services, user_id, job)).attempt for job in jobs} == {1}

        async def is_closed() -> bool:
            return not await services.gateway.troubles()

        await until(is_closed)


async def test_a_provider_that_is_never_back_fails_the_job_in_the_end(
    chosen: Settings, urls: DatabaseUrls, user_id: UUID, provider: Provider
) -> None:
    changes = {"compatible_base_url": "http://127.0.0.1:9", "breaker_failures": 1, "breaker_seconds": 1}
    settings = chosen.model_copy(update={**changes, "model_wait_seconds": 2})
    async with AsyncExitStack() as stack:
        services = await two_processes(stack, settings, urls)
        job = await add(services, user_id)
        await events(services, user_id, job)
        found = await read(services, user_id, job)
    assert found.status == "failed"
    assert found.error is not None
    assert found.error["code"] == "model_waited_too_long"
    assert "YEOUL_MODEL_WAIT_SECONDS" in found.error["message"]


class TestOutsideJobs:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        limit = ModelLimit(requests_per_minute=1)
        return settings.model_copy(update={"model_limits": {"fake/echo": limit}, "breaker_failures": 2})

    async def test_who_cannot_wait_is_told_when_to_come_again(
        self, app: FastAPI, client: httpx.AsyncClient, register: Register
    ) -> None:
        user = await register("ana")

        async def ask(model: str) -> httpx.Response:
            body = {"model": model, "prompt": "Well?"}
            return await client.post("/generate", json=body, headers=user.headers)

        assert (await ask("fake/echo")).status_code == 200
        spent = await ask("fake/echo")
        assert (spent.status_code, spent.json()["code"]) == (429, "model_held")
        assert spent.headers["content-type"] == "application/problem+json"
        assert 50 <= int(spent.headers["retry-after"]) <= 62
        down = await ask("fake/error-500")
        assert (down.status_code, down.json()["code"]) == (503, "model_resting")
        assert 8 <= int(down.headers["retry-after"]) <= 10

        ready = await client.get("/ready")
        assert ready.json()["status"] == "ready"  # it keeps nobody from working
        assert "`fake/error-500` is not answering, tried again in" in ready.json()["checks"]["models"]
        metrics = (await client.get("/metrics")).text
        assert 'yeoul_model_breaker{model="fake/error-500"} 2.0' in metrics
        assert 'yeoul_model_waits_total{model="fake/echo",reason="spent"}' in metrics
        listed = (await client.get("/api/models", headers=user.headers)).json()["models"]
        troubles = {model["id"]: model["trouble"] for model in listed if model["trouble"]}
        assert list(troubles) == ["fake/error-500"]
        assert troubles["fake/error-500"]["breaker"] == "open"
