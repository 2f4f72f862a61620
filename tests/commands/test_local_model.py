"""The real local model, asked over HTTP at a running ``yeoul serve``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def ask(client: httpx.Client, question: str, tokens: int) -> str:
    """Submits a question; its job's id."""
    given = {"prompt": question, "model": f"local/{LOCAL_MODEL}", "parameters": {"max_tokens": tokens}}
    return str(client.post("/api/jobs", json={"kind": "llm.complete", "input": given}).json()["id"])


def events(client: httpx.Client, job: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What its stream tells, to its end: type, seq, data."""
    with client.stream("GET", f"/api/jobs/{job}/events") as answer:
        seq, kind = "0", ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            seq = value if name == "id" else seq
            kind = value if name == "event" else kind
            if name == "data":
                yield kind, int(seq), json.loads(value)


def answer(client: httpx.Client, question: str) -> str:
    """What it answers: streamed in several pieces, and kept as it was streamed."""
    job = ask(client, question, 16)
    said = list(events(client, job))
    pieces = [data["delta"] for kind, _, data in said if kind == "text"]
    row = client.get(f"/api/jobs/{job}").json()
    assert said[-1][0] == row["status"] == "succeeded"
    assert len(pieces) > 1
    assert "".join(pieces) == row["output"]["text"]
    return "".join(pieces)


def survive(client: httpx.Client, server: int) -> None:
    """The model dies while it speaks: another is started, and the job's answer is whole, and ends once."""
    (model,) = models_of(server)
    job = ask(client, "Tell a story about a river.", 48)
    said = []
    for event in events(client, job):
        said.append(event)
        if event[0] == "text" and model.is_running():
            model.kill()
            model.wait(10)
    void = max(data["void_after"] for kind, _, data in said if kind == "retrying")
    kept = [data["delta"] for kind, seq, data in said if kind == "text" and (seq <= void or seq > retried(said))]
    row = client.get(f"/api/jobs/{job}").json()
    assert [kind for kind, _, _ in said if kind in {"succeeded", "failed", "canceled"}] == ["succeeded"]
    assert (row["status"], row["attempt"]) == ("succeeded", 2)
    assert "".join(kept) == row["output"]["text"]


def retried(said: list[tuple[str, int, dict[str, Any]]]) -> int:
    """The seq of the last announcement of another attempt."""
    return max(seq for kind, seq, _ in said if kind == "retrying")


def test_questions_over_http(start: Start, environment: dict[str, str], local_weights: Path) -> None:
    local = {"YEOUL_LOCAL_ENABLED": "true", "YEOUL_MODELS_DIR": str(local_weights), "YEOUL_LOCAL_CONTEXT": "1024"}
    server = start("serve", "--port", "0", env=environment | local)
    with httpx.Client(base_url=address(heard(server, "Ctrl-C stops")), timeout=SECONDS) as client:
        token = client.post("/api/auth/register", json=ACCOUNT).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert models_of(server.pid) == [], "it is started when it is first asked"
        france, rivers = (answer(client, question) for question in QUESTIONS)
        survive(client, server.pid)
    assert france != rivers  # and no more: what so small a model says is no fact
