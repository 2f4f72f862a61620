"""What nginx must not spoil: streams, upgrades, addresses, cookies, and errors one can act on."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.deploy.conftest import LOGIN_ATTEMPTS, Fleet, events, submit
from tests.deploy.fleet import Nginx
from tests.ports import free_port

pytestmark = [
    pytest.mark.timeout(240),  # the first test waits for the whole fleet to start
    pytest.mark.xdist_group("fleet"),
]

ENDLESS = "100000 words, 20 ms"
PROBLEM = "application/problem+json"


async def test_events_arrive_one_by_one(fleet: Fleet, client: httpx.AsyncClient) -> None:
    job_id = await submit(client, ENDLESS)
    arrived: list[float] = []
    async with asyncio.timeout(30), client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for chunk in answer.aiter_raw():
            if b"event: text" in chunk:
                arrived.append(time.monotonic())
            if len(arrived) == 20:
                break
    job = (await client.get(f"/api/jobs/{job_id}")).json()
    assert job["status"] == "running", "the events came before the job's end"
    # Flushes are 20 ms apart. Had nginx collected them, there would have been pieces of kilobytes, seconds apart.
    gaps = sorted(later - earlier for earlier, later in pairwise(arrived))
    assert gaps[len(gaps) // 2] < 0.3
    canceled = await client.post(f"/api/jobs/{job_id}/cancel", params={"wait": 10})
    assert canceled.json()["status"] == "canceled"


async def test_a_stream_ends_through_nginx(client: httpx.AsyncClient) -> None:
    job_id = await submit(client, "one two three", "fake/echo")
    async with asyncio.timeout(20), client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        said = [each async for each in events(answer)]
    assert said[-1].type == "succeeded"
    again = await client.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": str(said[-1].seq)})
    assert again.status_code == 204


async def test_a_websocket(fleet: Fleet, client: httpx.AsyncClient) -> None:
    job_id = await submit(client, ENDLESS)
    url = fleet.nginx.url.replace("https", "wss") + "/api/ws"
    token = {"Authorization": client.headers["Authorization"]}
    async with asyncio.timeout(30), connect(url, ssl=fleet.nginx.tls, additional_headers=token) as socket:
        await socket.send(json.dumps({"type": "subscribe", "stream": job_id}))
        texts = 0
        async for text in socket:
            message = json.loads(text)
            texts += message.get("event") == "text"
            if texts == 10:
                break
        assert (await client.get(f"/api/jobs/{job_id}")).json()["status"] == "running"
        await client.post(f"/api/jobs/{job_id}/cancel")
        last = None
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "closed":
                break
            last = message["event"]
        assert last == "canceled"


async def test_a_browsers_cookies(fleet: Fleet) -> None:
    """A page's sign-in: Origin names nginx's own port, so it only passes when Host came through whole."""
    page = {"Origin": fleet.nginx.url}
    url = fleet.nginx.url.replace("https", "wss") + "/api/ws"
    async with httpx.AsyncClient(base_url=fleet.nginx.url, verify=fleet.nginx.tls) as browser:
        body = {"email": f"{uuid4().hex}@example.com", "password": "a long passphrase"}
        answer = await browser.post("/api/auth/register", json=body, headers=page)
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2
        for cookie in cookies:
            assert {"Secure", "HttpOnly"} <= {part.strip() for part in cookie.split(";")}
        assert answer.headers["strict-transport-security"]
        assert (await browser.get("/api/me")).json()["email"] == body["email"]
        assert (await browser.post("/api/auth/logout", headers={"Origin": "https://evil.example"})).status_code == 403
        sent = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        async with connect(url, ssl=fleet.nginx.tls, additional_headers={"Cookie": sent, **page}) as socket:
            await socket.send('{"type":"ping"}')
            assert json.loads(await socket.recv()) == {"type": "pong"}


@pytest.fixture
async def elsewhere(fleet: Fleet) -> AsyncGenerator[list[httpx.AsyncClient]]:
    """Clients that call from two other addresses of the loopback network."""
    made = [
        httpx.AsyncClient(
            base_url=fleet.nginx.url,
            transport=httpx.AsyncHTTPTransport(verify=fleet.nginx.tls, local_address=f"127.0.0.{number}"),
        )
        for number in (2, 3)
    ]
    yield made
    for each in made:
        await each.aclose()


async def test_sign_ins_are_throttled_by_the_clients_address(fleet: Fleet, elsewhere: list[httpx.AsyncClient]) -> None:
    async def fail(client: httpx.AsyncClient, claimed: int) -> int:
        wrong = {"email": f"{uuid4().hex}@example.com", "password": "not the password"}
        claims = {"X-Forwarded-For": f"203.0.113.{claimed}", "Forwarded": f"for=203.0.113.{claimed}"}
        return (await client.post("/api/auth/login", json=wrong, headers=claims)).status_code

    guesser, neighbour = elsewhere
    assert [await fail(guesser, number) for number in range(LOGIN_ATTEMPTS + 1)] == [401] * LOGIN_ATTEMPTS + [429]
    assert await fail(neighbour, 1) == 401
    counted = fleet.row("SELECT count(*) FROM yeoul.login_attempts WHERE subject = 'ip:127.0.0.2'")
    assert counted["count"] == LOGIN_ATTEMPTS


async def test_what_is_too_large(client: httpx.AsyncClient) -> None:
    by_the_api = await client.post("/api/jobs", content=b"x" * 1_500_000)
    by_nginx = await client.post("/api/jobs", content=b"x" * 3_000_000)
    for path in ("/generate", "/api/prompts/execute"):
        with_images = await client.post(path, content=b"x" * 3_000_000)
        assert with_images.status_code == 422, "all of it was read, and is no JSON"
    for answer in (by_the_api, by_nginx):
        assert answer.status_code == 413
        assert answer.headers["content-type"].startswith(PROBLEM)
        problem = answer.json()
        assert (problem["code"], problem["status"]) == ("too_large", 413)
        assert problem["request_id"]
    assert by_the_api.json()["detail"] != by_nginx.json()["detail"]
    assert by_the_api.json().keys() == by_nginx.json().keys()


async def test_errors_of_the_api_pass_as_they_are(client: httpx.AsyncClient) -> None:
    missing = await client.get(f"/api/jobs/{uuid4()}")
    assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
    assert missing.json()["code"] == "job_not_found"


async def test_metrics_are_not_for_the_world(fleet: Fleet, client: httpx.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 403
    async with httpx.AsyncClient() as local:
        assert (await local.get(f"http://{next(iter(fleet.apis))}/metrics")).status_code == 200


async def test_plain_http_leads_to_https(fleet: Fleet) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{fleet.nginx.plain_port}/api/jobs?a=b")
    assert (answer.status_code, answer.headers["location"]) == (308, "https://127.0.0.1/api/jobs?a=b")


async def test_http_2_is_offered(fleet: Fleet) -> None:
    context = ssl.create_default_context(cafile=str(fleet.nginx.folder / "certificate.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", fleet.nginx.port, ssl=context)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "h2"
    writer.transport.abort()  # it has begun to speak HTTP/2, which nobody here reads


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An API of few words; it says nothing at all to ``/silent``."""
    path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
    if path != b"/silent":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    else:
        await reader.read()  # until nginx has had enough
    writer.close()
    await writer.wait_closed()


async def test_no_api_answers(tmp_path: Path) -> None:
    dead, late = free_port(), free_port()
    nginx = Nginx(tmp_path / "nginx", [dead, late], timeout="300ms")
    nginx.start()
    try:
        async with httpx.AsyncClient(base_url=nginx.url, verify=nginx.tls) as client:
            refused = await client.get("/api/me")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert refused.headers["content-type"].startswith(PROBLEM)
            assert refused.json()["code"] == "unavailable"
            async with asyncio.timeout(10), await asyncio.start_server(answering, "127.0.0.1", late):
                while (await client.get("/api/me")).status_code == 503:  # for two seconds it is not even tried
                    await asyncio.to_thread(time.sleep, 0.1)
                # The other one is still dead: nobody notices.
                assert [(await client.post("/api/jobs", json={})).status_code for _ in range(5)] == [200] * 5
                silent = await client.get("/silent")
                assert (silent.status_code, silent.json()["code"]) == (503, "unavailable")
    finally:
        nginx.stop()
