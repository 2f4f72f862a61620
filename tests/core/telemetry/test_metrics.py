"""Metrics of model calls, of event lag, and of worker processes that serve no HTTP."""

import asyncio
import socket
from collections.abc import Mapping
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

from tests.conftest import Register, process
from tests.core.runtime.helpers import add, echo, events, until
from tests.core.telemetry.test_tracing import twice
from yeoul.core.base.errors import Unavailable
from yeoul.core.llm import observe
from yeoul.core.llm.errors import ModelUnavailable, RequestRejected
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.schemas import CompletionRequest, EmbeddingRequest, Message
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.telemetry.metrics import serving_metrics
from yeoul.settings import Settings


def value(name: str, labels: Mapping[str, str] | None = None) -> float:
    return REGISTRY.get_sample_value(name, dict(labels or {})) or 0


def asked(model: str) -> CompletionRequest:
    return CompletionRequest(model=model, messages=[Message(role="user", content="one two")])


async def test_calls_tokens_and_cost_by_model(settings: Settings) -> None:
    of = {"provider": "fake", "model": "echo"}
    before = [value("yeoul_model_tokens_total", of | {"direction": "output"})]
    before += [value("yeoul_model_calls_total", of | {"outcome": "ok"})]
    gateway = Gateway(settings)
    done = await gateway.complete(asked("fake/echo"))
    assert done.usage is not None
    after = [value("yeoul_model_tokens_total", of | {"direction": "output"})]
    after += [value("yeoul_model_calls_total", of | {"outcome": "ok"})]
    assert [b - a for a, b in zip(before, after, strict=True)] == [done.usage.output_tokens, 1]
    assert REGISTRY.get_sample_value("yeoul_model_cost_usd_total", of) is not None
    await gateway.aclose()


async def test_embeddings_are_calls_too(settings: Settings) -> None:
    of = {"provider": "fake", "model": "embedding"}
    read = [
        ("tokens", {"direction": "input"}),
        ("calls", {"outcome": "ok"}),
        ("calls", {"outcome": "model_request_rejected"}),
    ]
    before = [value(f"yeoul_model_{name}_total", of | more) for name, more in read]
    gateway = Gateway(settings)
    made = await gateway.embed(EmbeddingRequest(model="fake/embedding", texts=["one two", "three"]))
    with pytest.raises(RequestRejected):
        await gateway.embed(EmbeddingRequest(model="fake/embedding", texts=["one"], dimensions=1000))
    after = [value(f"yeoul_model_{name}_total", of | more) for name, more in read]
    assert [b - a for a, b in zip(before, after, strict=True)] == [made.tokens, 1, 1]
    assert made.tokens
    assert REGISTRY.get_sample_value("yeoul_model_cost_usd_total", of) is not None
    await gateway.aclose()


async def test_names_nobody_lists_add_no_series(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some providers are asked for whatever name a client likes."""
    gateway = Gateway(settings.model_copy(update={"compatible_base_url": "http://127.0.0.1:9/v1"}))
    other = {"provider": "compatible", "model": "other", "outcome": "model_unavailable"}
    before = value("yeoul_model_calls_total", other)
    for n in range(2):
        with pytest.raises(ModelUnavailable):
            await gateway.complete(asked(f"compatible/made-up-{n}"))
    assert value("yeoul_model_calls_total", other) - before == 2
    monkeypatch.setattr(observe, "MOST_MODELS", 0)
    monkeypatch.setattr(observe, "_seen", set())
    others = {"provider": "fake", "model": "other", "outcome": "ok"}
    before = value("yeoul_model_calls_total", others)
    await gateway.complete(asked("fake/echo"))
    assert value("yeoul_model_calls_total", others) - before == 1
    await gateway.aclose()


async def test_event_lag_is_that_of_what_is_followed_live(
    settings: Settings, urls: DatabaseUrls, user_id: UUID
) -> None:
    before, followed = value("yeoul_event_lag_seconds_count"), value("yeoul_event_subscriptions")
    async with process(settings, urls, echo) as (services, _):
        job_id = await add(services, user_id, echo)
        following = asyncio.create_task(events(services, user_id, job_id))
        await until(lambda: value("yeoul_event_subscriptions") > followed)
        async with process(settings, urls, echo, workers=1):
            await following
    counted = value("yeoul_event_lag_seconds_count")
    assert counted > before
    async with process(settings, urls, echo) as (services, _):  # replay, hours later: no lag
        assert (await events(services, user_id, job_id))[-1][1] == "succeeded"
    assert value("yeoul_event_lag_seconds_count") == counted


async def test_the_metrics_page_shows_the_whole_installation(
    app: FastAPI, client: httpx.AsyncClient, register: Register
) -> None:
    ann = await register("ann")
    body = {"kind": "llm.complete", "input": {"model": "fake/echo", "prompt": "x"}, "run_at": "2099-01-01T00:00:00Z"}
    await client.post("/api/jobs", json=body, headers=ann.headers)
    text = (await client.get("/metrics")).text
    assert 'yeoul_queue_later_jobs{kind="llm.complete",priority="5"} 1.0' in text
    assert "yeoul_workers_alive 1.0" in text
    for name in ("yeoul_worker_attempts_total", "yeoul_worker_leases_lost_total", "yeoul_event_subscriptions"):
        assert f"# TYPE {name.removesuffix('_total')}" in text


async def test_a_worker_serves_its_own_metrics(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    given = settings.model_copy(update={"worker_metrics": f"127.0.0.1:{port}"})
    async with serving_metrics(given), process(given, urls, twice, workers=1) as (services, _):
        await events(services, user_id, await add(services, user_id, twice))
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        assert 'yeoul_worker_attempts_total{kind="test.twice",status="queued"}' in text
        with pytest.raises(Unavailable, match="YEOUL_WORKER_METRICS of its own"):
            async with serving_metrics(given):
                pass


@pytest.mark.parametrize("wrong", ["9101", ":9101", "host:port", "127.0.0.1:99999"])
def test_an_address_needs_both_parts(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9101"):
        Settings(_env_file=None, worker_metrics=wrong)


@pytest.mark.parametrize("wrong", ["grpc://127.0.0.1:4317", "127.0.0.1:4318", "http://"])
def test_a_collector_is_spoken_to_over_http(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", wrong)
    with pytest.raises(ValueError, match="OTLP over HTTP"):
        Settings(_env_file=None)
