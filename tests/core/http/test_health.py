import asyncio

import pytest
from fastapi import FastAPI

from tests.core.http.small_app import assert_problem, client_of, settings_with, small_app
from yeoul import __version__
from yeoul.core.base.readiness import Note
from yeoul.core.http import health


@pytest.fixture
def app() -> FastAPI:
    return small_app(settings_with())


async def fine() -> str | None:
    return None


async def missing() -> str | None:
    return "No worker is running. Start `yeoul worker`."


async def broken() -> str | None:
    raise ConnectionError("refused")


async def test_health_asks_nobody(app: FastAPI) -> None:
    app.state.services.readiness["database"] = broken
    async with client_of(app) as client:
        response = await client.get("/health")
        assert response.json() == {"status": "ok", "version": __version__}
        assert (await client.head("/health")).status_code == 200


async def test_up_is_a_green_page_under_the_policy(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.get("/up")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert 'bgcolor="green"' in response.text
    assert "style=" not in response.text


async def test_ready(app: FastAPI) -> None:
    app.state.services.readiness |= {"database": fine, "worker": fine}
    async with client_of(app) as client:
        response = await client.get("/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "worker": "ok"}}


async def test_not_ready_names_what_fails_and_what_to_do(app: FastAPI) -> None:
    app.state.services.readiness |= {"database": fine, "worker": missing, "other": broken}
    async with client_of(app) as client:
        response = await client.get("/ready")
    problem = assert_problem(response, 503, "not_ready")
    assert response.headers["retry-after"] == "5"
    assert problem["checks"] == {
        "database": "ok",
        "worker": "No worker is running. Start `yeoul worker`.",
        "other": "ConnectionError: refused",
    }
    assert "Start `yeoul worker`" in problem["detail"]


async def test_a_note_is_shown_and_fails_nothing(app: FastAPI) -> None:
    async def slower() -> str | None:
        return Note("No connection to Redis: jobs start up to a second later.")

    app.state.services.readiness |= {"database": fine, "doorbell": slower}
    async with client_of(app) as client:
        response = await client.get("/ready")
    assert response.status_code == 200
    assert response.json()["checks"]["doorbell"] == "No connection to Redis: jobs start up to a second later."


async def test_a_check_that_hangs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)

    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    assert await health.run_checks({"a": hangs, "b": fine}) == {"a": "No answer within 0.01 s.", "b": None}
