"""``yeoul llm``: the real local model apart from who asks it."""

import os
import re
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.core.llm.vendors import settings
from tests.deploy.fleet import Process, clean_environment
from tests.ports import free_port
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.errors import ModelAuthFailed, ModelUnavailable
from yeoul.core.llm.gateway import Gateway, Retry
from yeoul.core.llm.schemas import CompletionRequest, Parameters
from yeoul.settings import Settings

NAME = "smollm2-135m"
KEY = "the key of the model's server"
QUESTION = CompletionRequest.ask(
    "What is the capital of France?", model=f"local/{NAME}", parameters=Parameters(max_tokens=5)
)


@pytest.fixture
def server(local_weights: Path, tmp_path: Path) -> Generator[Process]:
    """A running ``yeoul llm``."""
    environment = clean_environment() | {
        "YEOUL_DATA_DIR": str(tmp_path / "of-the-server"),
        "YEOUL_MODELS_DIR": str(local_weights),
        "YEOUL_LOCAL_KEY": KEY,
        "YEOUL_LOCAL_CONTEXT": "1024",
        "YEOUL_LOCAL_ENABLED": "false",  # as in an environment shared with processes that shall not start their own
        "COLUMNS": "200",
    }
    words = ["llm", "--port", str(free_port())]
    made = Process(words, environment, tmp_path, ready=re.compile(r"is ready: http"))
    made.start()
    yield made
    made.stop()


def caller(server: Process, tmp_path: Path, **more: object) -> Settings:
    """Settings of a process on another machine: no weights, no data, only the address and the key."""
    port = server.words[-1]
    given = {"local_url": f"http://127.0.0.1:{port}/", "local_key": KEY, **more}
    return settings(data_dir=tmp_path / "elsewhere", local_context=1024, **given)


@pytest.fixture
async def gateway(server: Process, tmp_path: Path) -> AsyncGenerator[Gateway]:
    made = Gateway(caller(server, tmp_path), retry=Retry(attempts=1))
    yield made
    await made.aclose()


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


async def test_it_speaks_openais_protocol(server: Process) -> None:
    question = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 3}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.words[-1]}", timeout=30) as client:
        assert (await client.post("/v1/chat/completions", json=question)).status_code == 401
        client.headers["Authorization"] = f"Bearer {KEY}"
        listed = (await client.get("/v1/models")).json()
        answer = await client.post("/v1/chat/completions", json=question)
    assert [model["id"] for model in listed["data"]] == [NAME]
    assert answer.json()["choices"][0]["message"]["content"]
    assert server.stop() == 0, "SIGTERM is no failure"


@pytest.mark.faults
async def test_callers_share_it_through_its_death(server: Process, gateway: Gateway, tmp_path: Path) -> None:
    info = next(model for model in Catalogue(caller(server, tmp_path)).models() if model.provider == "local")
    assert info.available, info.reason
    answer = await gateway.complete(QUESTION)
    assert answer.text
    assert not [child for child in children(os.getpid()) if "yeoul.core.llm.local_server" in child.cmdline()]
    (model,) = children(server.pid)
    server.stop(signal.SIGKILL)
    assert psutil.wait_procs([model], 5)[0] == [model], "the model goes with it: the port is free again"
    with pytest.raises(ModelUnavailable) as failed:
        await gateway.complete(QUESTION)
    assert failed.value.retryable, "the job waits and is tried again"
    server.start()
    assert (await gateway.complete(QUESTION)).text


async def test_another_key(server: Process, tmp_path: Path) -> None:
    stranger = Gateway(caller(server, tmp_path, local_key="a key made up by somebody"), retry=Retry(attempts=1))
    try:
        with pytest.raises(ModelAuthFailed, match="YEOUL_LOCAL_KEY"):
            await stranger.complete(QUESTION)
    finally:
        await stranger.aclose()


@pytest.mark.faults
async def test_it_ends_with_its_model(server: Process) -> None:
    """Whoever keeps services running can only start again what has ended."""
    (model,) = children(server.pid)
    model.kill()
    assert server.wait() == 1
    assert "error: The model's process ended with status -9." in "".join(server.log)


def test_a_port_that_is_taken(server: Process, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = Process(["llm", "--port", str(port)], server.environment, tmp_path)
        with pytest.raises(RuntimeError, match=rf"error: Cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            other.start()


def test_the_key_is_derived_where_none_is_set(tmp_path: Path) -> None:
    one, same, other = (settings(secret_key=secret * 32, data_dir=tmp_path).local_token for secret in ("a", "a", "b"))
    assert one == same != other
    assert "a" * 32 not in one
    assert settings(local_key=KEY).local_token == KEY
