"""What the AI SDK's and AG-UI's endpoints owe, beside what their own clients show (``test_javascript.py``)."""

from typing import Any

import httpx

from tests.conftest import Account, Register
from tests.core.completions.helpers import sse, ui_text

ENDLESS = "100000 words, 20 ms"
CHAT = "/api/ai-sdk/chat"


def message(text: str, *more: dict[str, Any]) -> dict[str, Any]:
    return {"id": "1", "role": "user", "parts": [{"type": "text", "text": text}, *more]}


async def test_nobody_resumes_or_stops_anothers_chat(
    account: Account, register: Register, client: httpx.AsyncClient, address: str
) -> None:
    other = await register("jun")  # the first account is an administrator, which must not help it either
    async with httpx.AsyncClient(base_url=address, headers=other.headers) as jun:
        body = {"id": "shared", "model": "fake/slow", "messages": [message(ENDLESS)]}
        async with jun.stream("POST", CHAT, json=body) as live:
            assert live.headers["x-vercel-ai-ui-message-stream"] == "v1"
            assert (await anext(live.aiter_lines())).startswith('data: {"type":"start"')
        assert (await client.get(f"{CHAT}/shared/stream", headers=account.headers)).status_code == 204
        assert (await client.post(f"{CHAT}/shared/stop", headers=account.headers)).status_code == 204
        job = (await jun.get("/api/jobs")).json()["items"][0]
        assert job["status"] in {"queued", "running"}  # though its client has left
        assert not job["cancel_requested"]
        assert (await jun.post(f"{CHAT}/shared/stop")).status_code == 204
        assert "event: canceled" in (await jun.get(f"/api/jobs/{job['id']}/events")).text


async def test_what_only_people_are_shown_is_not_said_to_the_model(account: Account, client: httpx.AsyncClient) -> None:
    shown: list[dict[str, Any]] = [
        {"type": "step-start"},
        {"type": "data-weather", "data": 1},
        {"type": "source-url", "url": "x"},
    ]
    body = {"id": "c", "model": "fake/echo", "messages": [message("hello", *shown)], "temperature": None}
    assert ui_text(sse((await client.post(CHAT, headers=account.headers, json=body)).text)) == "hello"


async def test_what_cannot_be_honoured_is_a_problem_that_names_it(account: Account, client: httpx.AsyncClient) -> None:
    run = {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "hi"}]}
    asked: list[tuple[str, dict[str, Any], str]] = [
        (CHAT, {"id": "c", "messages": [message("hi", {"type": "file", "url": "x"})]}, "messages[0].parts[1]"),
        (CHAT, {"id": "c", "messages": [message("hi")], "tools": {"f": 1}}, "tools"),
        (CHAT, {"id": "c", "messages": []}, "messages"),
        ("/api/ag-ui", {**run, "tools": [{"name": "f"}]}, "tools"),
        ("/api/ag-ui", {**run, "state": {"a": 1}}, "state"),
        ("/api/ag-ui", {**run, "forwardedProps": {"surprise": 1}}, "forwardedProps.surprise"),
        ("/api/ag-ui", {**run, "messages": [{"id": "1", "role": "tool", "content": "hi"}]}, "messages[0].role"),
    ]
    for path, body, param in asked:
        answer = await client.post(path, headers=account.headers, json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"][0]["loc"] == ["body", param]
