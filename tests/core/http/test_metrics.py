from uuid import uuid4

import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import Counter
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket

from tests.core.http.small_app import assert_problem, client_of, open_websocket, settings_with, small_app
from yeoul.core.http.metrics import registry


def count(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    total = registry.get_sample_value("yeoul_http_requests_total", labels) or 0
    seconds = registry.get_sample_value("yeoul_http_request_duration_seconds_count", labels) or 0
    assert total == seconds
    return total


@pytest.fixture
def app() -> FastAPI:
    app = small_app(settings_with())
    inner = APIRouter(prefix="/inner")

    @inner.get("/things/{thing_id}")
    async def thing(thing_id: int) -> int:
        return thing_id

    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")

    @app.websocket("/ws/{name}")
    async def socket(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.close()

    async def mounted(_: object) -> PlainTextResponse:
        return PlainTextResponse("m")

    app.router.routes.append(Mount("/mounted", routes=[Route("/{x}", mounted)]))
    return app


async def test_requests_are_counted_by_template(app: FastAPI) -> None:
    route = "/v1/outer/inner/things/{thing_id}"
    before, wrong = count("GET", route, 200), count("GET", route, 422)
    async with client_of(app) as client:
        for number in range(3):
            await client.get(f"/v1/outer/inner/things/{number}")
        await client.get("/v1/outer/inner/things/x")
    assert count("GET", route, 200) - before == 3
    assert count("GET", route, 422) - wrong == 1


async def test_unknown_paths_and_methods_add_no_series(app: FastAPI) -> None:
    before, odd = count("GET", "unmatched", 404), count("other", "unmatched", 404)
    path = uuid4().hex
    async with client_of(app) as client:
        await client.get(f"/{path}")
        await client.request("BREW", f"/{path}")
        text = (await client.get("/metrics")).text
    assert count("GET", "unmatched", 404) - before == 1
    assert count("other", "unmatched", 404) - odd == 1
    assert path not in text
    assert "BREW" not in text


async def test_mounted_and_websocket_routes_have_no_end_of_values_either(app: FastAPI) -> None:
    value = uuid4().hex
    before = count("WEBSOCKET", "/ws/{name}", 101)
    await open_websocket(app, f"/ws/{value}")
    async with client_of(app) as client:
        assert (await client.get(f"/mounted/{value}")).text == "m"
        assert value not in (await client.get("/metrics")).text
    assert count("WEBSOCKET", "/ws/{name}", 101) - before == 1


async def test_other_rooms_metrics_are_shown_beside_the_process(app: FastAPI) -> None:
    made = Counter("yeoul_test_things", "Made by this test.")
    made.inc(5)
    async with client_of(app) as client:
        response = await client.get("/metrics")
        modern = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    registry.unregister(made)
    assert response.headers["content-type"].startswith("text/plain")
    assert "yeoul_test_things_total 5.0" in response.text
    assert "process_resident_memory_bytes" in response.text
    assert modern.headers["content-type"].startswith("application/openmetrics-text")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_open_on_this_machine(app: FastAPI, address: str) -> None:
    async with client_of(app, address) as client:
        assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("10.1.2.3", {}),
        ("::ffff:10.1.2.3", {}),
        ("2001:db8::1", {}),
        ("a-unix-socket", {}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}),
    ],
)
async def test_closed_elsewhere_without_a_token(app: FastAPI, address: str, headers: dict[str, str]) -> None:
    async with client_of(app, address, headers=headers) as client:
        problem = assert_problem(await client.get("/metrics"), 403, "forbidden")
    assert "YEOUL_METRICS_TOKEN" in problem["detail"]


async def test_open_elsewhere_with_the_token() -> None:
    app = small_app(settings_with(metrics_token="0123456789abcdef"))
    async with client_of(app, "10.1.2.3") as client:
        assert_problem(await client.get("/metrics"), 401, "unauthenticated")
        for wrong in ("Bearer 0123456789abcdeF", "Bearer ", "0123456789abcdef", "Bearer é"):
            assert_problem(
                await client.get("/metrics", headers={b"Authorization": wrong.encode()}), 401, "unauthenticated"
            )
        right = await client.get("/metrics", headers={"Authorization": "Bearer 0123456789abcdef"})
        assert right.status_code == 200
