"""The real local model, asked over HTTP at a running ``yeoul serve``."""

import json
from itertools import pairwise
from pathlib import Path

import httpx
import psutil

from tests.commands.conftest import SECONDS, Start
from tests.commands.test_serve import ACCOUNT, address, heard
from tests.conftest import LOCAL_MODEL

QUESTIONS = ("What is the capital of France?", "Write one sentence about rivers.")


def models_of(pid: int) -> list[psutil.Process]:
    """The local models that a process runs."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "yeoul.core.llm.local_server" in child.cmdline()]


def answer(client: httpx.Client, question: str) -> str:
    """What it answers: streamed in several pieces, and kept as it was streamed."""
    given = {"prompt": question, "model": f"local/{LOCAL_MODEL}", "parameters": {"max_tokens": 16}}
    job = client.post("/api/jobs", json={"kind": "llm.complete", "input": given}).json()["id"]
    with client.stream("GET", f"/api/jobs/{job}/events") as events:
        lines = list(events.iter_lines())  # to the end: the stream closes with the job
    said = [(kind, json.loads(data[6:])) for kind, data in pairwise(lines) if data[:5] == "data:"]
    pieces = [data["delta"] for kind, data in said if kind == "event: text"]
    row = client.get(f"/api/jobs/{job}").json()
    assert said[-1][0] == "event: succeeded"
    assert row["status"] == "succeeded"
    assert len(pieces) > 1
    assert "".join(pieces) == row["output"]["text"]
    return "".join(pieces)


def test_two_questions_over_http(start: Start, environment: dict[str, str], local_weights: Path) -> None:
    local = {"YEOUL_LOCAL_ENABLED": "true", "YEOUL_MODELS_DIR": str(local_weights), "YEOUL_LOCAL_CONTEXT": "1024"}
    server = start("serve", "--port", "0", env=environment | local)
    with httpx.Client(base_url=address(heard(server, "Ctrl-C stops")), timeout=SECONDS) as client:
        token = client.post("/api/auth/register", json=ACCOUNT).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert models_of(server.pid) == [], "it is started when it is first asked"
        france, rivers = (answer(client, question) for question in QUESTIONS)
        assert len(models_of(server.pid)) == 1
    assert france != rivers  # and no more: what so small a model says is no fact
