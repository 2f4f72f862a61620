import asyncio
from collections.abc import Generator
from uuid import UUID

import httpx
import pytest
import structlog
from fastapi import FastAPI
from structlog.testing import capture_logs

from tests.conftest import Register, process
from tests.core.runtime.helpers import Given, Made, add, echo, events
from tests.core.telemetry.collector import Collector, Received, collecting
from yeoul.core.base.errors import Unavailable
from yeoul.core.jobs.kinds import Backoff
from yeoul.core.runtime import submit
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.telemetry import tracing
from yeoul.settings import Settings

CONSUMER, PRODUCER, CLIENT = 5, 4, 3


class TryAgain(Unavailable):
    code = "try_again"


@handler("test.twice", backoff=Backoff(first=0.01, longest=0.01))
async def twice(ctx: Context, given: Given) -> Made:
    if ctx.attempt == 1:
        raise TryAgain("a private matter")
    return Made(word=str(structlog.contextvars.get_contextvars().get("trace_id")))


@pytest.fixture
def collector() -> Generator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def settings(settings: Settings, collector: Collector) -> Settings:
    return settings.model_copy(update={"otlp_endpoint": collector.url})


async def ends(collector: Collector, count: int, kind: int) -> list[Received]:
    spans = await asyncio.to_thread(collector.wait_for, lambda spans: sum(s.kind == kind for s in spans) >= count)
    return [span for span in spans if span.kind == kind]


async def test_the_attempts_of_a_job_are_in_one_trace(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, collector: Collector
) -> None:
    async with process(settings, urls, twice, workers=1) as (services, _):
        job_id = await add(services, user_id, twice)
        last = (await events(services, user_id, job_id))[-1]
    assert last[1] == "succeeded"
    first, second = await ends(collector, 2, CONSUMER)
    (made,) = await ends(collector, 1, PRODUCER)
    assert first.trace_id == second.trace_id == made.trace_id
    assert first.parent_id == second.parent_id == made.span_id
    assert (first.failed, first.attributes["error.type"]) == (True, "try_again")
    assert (second.failed, second.attributes["yeoul.job.attempt"]) == (False, 2)
    assert "a private matter" not in repr(collector.spans)
    assert made.trace_id in str(last)  # log lines name it too


async def test_a_retry_by_hand_points_to_the_trace_it_repeats(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, collector: Collector
) -> None:
    async with process(settings, urls, echo, workers=1) as (services, _):
        job_id = await add(services, user_id, echo)
        await events(services, user_id, job_id)
        async with services.database.as_user(user_id) as session:
            await submit.retry(session, services, job_id)
    first, second = await ends(collector, 2, PRODUCER)
    assert second.links == (first.trace_id,)
    assert second.trace_id != first.trace_id
    assert second.attributes["yeoul.job.retry_of"] == str(job_id)


async def test_jobs_submitted_together_share_a_trace(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, collector: Collector
) -> None:
    async with process(settings, urls, echo, workers=1) as (services, _):
        async with services.database.as_user(user_id) as session:
            ids = await submit.submit_many(session, services, echo, [Given(), Given()])
        for job_id in ids:
            await events(services, user_id, job_id)
    (made,) = await ends(collector, 1, PRODUCER)
    attempts = await ends(collector, 2, CONSUMER)
    assert made.attributes["messaging.batch.message_count"] == 2
    assert {span.parent_id for span in attempts} == {made.span_id}


async def test_what_is_no_traceparent_begins_a_trace(
    app: FastAPI, client: httpx.AsyncClient, register: Register, collector: Collector
) -> None:
    await register("ann")
    for header in ("00-0-0-01", "x" * 5000, ""):
        assert (await client.get("/api/me", headers={"traceparent": header})).status_code == 401
    spans = await asyncio.to_thread(
        collector.wait_for, lambda spans: sum(s.name == "GET /api/me" for s in spans) == 3, 30
    )
    asked = [span for span in spans if span.name == "GET /api/me"]
    assert len({span.trace_id for span in asked}) == 3
    assert {span.parent_id for span in asked} == {""}


async def test_content_only_where_it_is_wanted(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, collector: Collector
) -> None:
    from yeoul.core.completions.handlers import CompleteInput, complete

    wanted = settings.model_copy(update={"trace_content": True})
    async with process(wanted, urls, complete, workers=1) as (services, _):
        async with services.database.as_user(user_id) as session:
            given = CompleteInput(model="fake/echo", prompt="a secret", system="be brief")
            job = await submit.submit(session, services, complete, given)
        await events(services, user_id, job.id)
    (call,) = await ends(collector, 1, CLIENT)
    assert "a secret" in call.attributes["gen_ai.input.messages"]
    assert "be brief" in call.attributes["gen_ai.system_instructions"]
    assert "finish_reason" in call.attributes["gen_ai.output.messages"]


async def test_embeddings_are_traced(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, collector: Collector
) -> None:
    from yeoul.core.embeddings.handlers import embed
    from yeoul.core.embeddings.schemas import EmbedInput

    async with process(settings, urls, embed, workers=1) as (services, _):
        async with services.database.as_user(user_id) as session:
            given = EmbedInput(model="fake/embedding", texts=["a secret", "another"])
            job = await submit.submit(session, services, embed, given)
        await events(services, user_id, job.id)
    (call,) = await ends(collector, 1, CLIENT)
    assert call.name == "embeddings embedding"
    assert call.attributes["gen_ai.operation.name"] == "embeddings"
    assert call.attributes["gen_ai.request.model"] == "embedding"
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert call.attributes["yeoul.texts"] == 2
    assert "a secret" not in repr(collector.spans)


async def test_a_failed_call_says_its_code(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, collector: Collector
) -> None:
    from yeoul.core.completions.handlers import CompleteInput, complete

    async with process(settings, urls, complete, workers=1) as (services, _):
        async with services.database.as_user(user_id) as session:
            given = CompleteInput(model="fake/error-401", prompt="a secret")
            job = await submit.submit(session, services, complete, given)
        await events(services, user_id, job.id)
    (call,) = await ends(collector, 1, CLIENT)
    (attempt,) = await ends(collector, 1, CONSUMER)
    assert call.failed
    assert call.attributes["error.type"] == attempt.attributes["error.type"] == "model_auth_failed"
    assert "a secret" not in repr(collector.spans)


def test_off_unless_configured(settings: Settings) -> None:
    tracing.start(settings.model_copy(update={"otlp_endpoint": None}))
    assert not tracing.is_on()
    assert tracing.current("a", "client", {}) is tracing.NO_SPAN
    assert tracing.traceparent() is None


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_opentelemetrys_own_switches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    tracing.start(settings)
    assert not tracing.is_on()


def test_without_the_extra_it_says_what_to_do(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yeoul.core.telemetry.spans", None)
    with capture_logs() as lines:
        tracing.start(settings)
    assert not tracing.is_on()
    assert "pip install 'yeoul[otel]'" in lines[0]["event"]


def test_a_collector_that_does_not_answer_holds_nobody_up(settings: Settings) -> None:
    import time

    tracing.start(settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9"}))
    with tracing.current("a", "client", {}):
        pass
    began = time.monotonic()
    tracing.stop()
    assert time.monotonic() - began < 5
