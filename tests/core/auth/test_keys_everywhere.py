"""Keys where programs use them: jobs, their events, the OpenAI dialect."""

import httpx
from fastapi import FastAPI

from tests.conftest import Register


async def key_of(client: httpx.AsyncClient, headers: dict[str, str], *scopes: str) -> dict[str, str]:
    made = await client.post("/api/keys", json={"name": "a program", "scopes": scopes}, headers=headers)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['key']}"}


async def test_a_program_runs_a_job_with_a_key(app: FastAPI, client: httpx.AsyncClient, register: Register) -> None:
    mina, other = await register("mina"), await register("other")
    both, reads = await key_of(client, mina.headers, "read", "write"), await key_of(client, mina.headers, "read")
    job = {"kind": "llm.complete", "input": {"messages": [{"role": "user", "content": "hello"}]}}

    refused = await client.post("/api/jobs", json=job, headers=reads)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    submitted = await client.post("/api/jobs", json=job, headers=both)
    assert submitted.status_code == 202, submitted.text
    path = f"/api/jobs/{submitted.json()['id']}"
    events = await client.get(f"{path}/events", headers=reads)  # until the job has ended
    assert "event: succeeded" in events.text
    assert (await client.get(path, headers=reads)).json()["status"] == "succeeded"
    assert (await client.get(path, headers=mina.headers)).json()["status"] == "succeeded"
    theirs = await key_of(client, other.headers, "read", "write")
    assert (await client.get(path, headers=theirs)).status_code == 404
    for models in ("/api/models", "/v1/models"):
        assert (await client.get(models, headers=reads)).status_code == 200


async def test_a_revoked_key_is_out_at_once(client: httpx.AsyncClient, register: Register) -> None:
    mina = await register("mina")
    key = await key_of(client, mina.headers, "read")
    assert (await client.get("/api/jobs", headers=key)).status_code == 200
    (listed,) = (await client.get("/api/keys", headers=mina.headers)).json()["items"]
    assert (await client.delete(f"/api/keys/{listed['id']}", headers=mina.headers)).status_code == 204
    assert (await client.get("/api/jobs", headers=key)).status_code == 401
