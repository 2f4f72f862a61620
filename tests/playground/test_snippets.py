"""Programs that ask the same: each is run, and the server sees exactly the prompt."""

import asyncio
import itertools
import os
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import javascript
from tests.conftest import Account
from tests.core.llm.pictures import PNG
from tests.playground.conftest import Execute
from yeoul.core.llm.images import Image
from yeoul.playground.errors import NoSuchSnippet
from yeoul.playground.snippets import CLIENTS, Client, Language, Question, Snippet, Target, write

JS = Path(__file__).parent / "js"

NASTY = (
    "He said \"don't\" \\n is no newline\\\n$HOME `id` $(id) ${PATH} %s {x} #{y} !! <<'JSON'\nJSON\nEOF\n"
    "여울 — 강물이 빠르게 흐르는 곳 🌊👩‍👩‍👧 \u2028 tab\t \\u0041 ''' \"\"\" */ </script> trailing \\"
)
PROGRAMS = [(language, client) for language, clients in CLIENTS.items() for client in clients]
ASKED = Question(
    system_prompt=f"system: {NASTY}",
    user_prompt=NASTY,
    parameters={"max_tokens": 500, "temperature": 0.5, "stop": ["\n$HOME'"]},
    model="fake/echo",
    gateway_url="https://yeoul.example/v1",
)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return javascript.installed(JS)


async def run(snippet: Snippet, packages: Path, scratch: Path, env: Mapping[str, str]) -> tuple[int, str]:
    program = {"curl": "sh", "python": sys.executable, "javascript": "node"}[snippet.language]
    (scratch / snippet.file).write_text(snippet.code, encoding="utf-8")
    if snippet.language == "javascript":
        (scratch / "node_modules").symlink_to(packages / "node_modules")
    process = await asyncio.create_subprocess_exec(
        program,
        snippet.file,
        cwd=scratch,
        env={"PATH": os.environ["PATH"], "HOME": str(scratch), **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize(("language", "library"), PROGRAMS)
async def test_run_against_the_gateway(
    language: Language,
    library: Client,
    address: str,
    account: Account,
    execute: Execute,
    node_modules: Path,
    tmp_path: Path,
) -> None:
    """``fake/echo`` says what it was asked, so the answer is the prompt, to the letter."""
    made = await execute(system_prompt="be brief", user_prompt=NASTY, parameters={"max_tokens": 500})
    async with httpx.AsyncClient(base_url=address, headers=account.headers) as asking:
        answer = await asking.get(
            f"/api/prompts/{made['execution_id']}/code", params={"language": language, "client": library}
        )
    snippet = Snippet.model_validate_json(answer.text)
    assert snippet.variables == ["YEOUL_API_KEY"]
    assert address in snippet.code
    token = account.headers["Authorization"].removeprefix("Bearer ")
    assert token not in snippet.code
    code, said = await run(snippet, node_modules, tmp_path, {"YEOUL_API_KEY": token})
    assert code == 0, said
    if language == "curl":
        said = httpx.Response(200, text=said).json()["choices"][0]["message"]["content"] + "\n"
    assert said == NASTY + "\n"
    code, said = await run(
        snippet.model_copy(update={"file": f"bad-{snippet.file}"}),
        node_modules,
        _beside(tmp_path),
        {"YEOUL_API_KEY": "wrong"},
    )
    assert code != 0
    assert "invalid" in said.lower() or "401" in said


def _beside(scratch: Path) -> Path:
    made = scratch / "again"
    made.mkdir()
    return made


@asynccontextmanager
async def seeing(seen: list[tuple[str, Any, str]]) -> AsyncGenerator[str]:
    """A server in a provider's place, which keeps path, body and key of what it is asked; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.lower().splitlines() if line.startswith("content-length"))
        body = await reader.readexactly(int(length.partition(":")[2]))
        key = next(line for line in head.splitlines() if line.lower().startswith("authorization"))
        seen.append((head.split(" ", 2)[1], httpx.Response(200, content=body).json(), key.partition(": ")[2]))
        message = {"role": "assistant", "content": "seen"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = httpx.Response(
            200, json={"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        ).content
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            % len(answer)
            + answer
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize(("language", "library"), PROGRAMS)
@pytest.mark.parametrize(
    ("model", "prefix", "most"),
    [
        ("openai/gpt-4.1-mini", "OPENAI", "max_completion_tokens"),
        ("anthropic/claude-haiku-4-5", "ANTHROPIC", "max_tokens"),
        ("gemini/gemini-3.8-flash", "GEMINI", "max_tokens"),
        ("perplexity/sonar", "PERPLEXITY", "max_tokens"),
    ],
)
async def test_run_against_a_providers_server(
    language: Language, library: Client, model: str, prefix: str, most: str, node_modules: Path, tmp_path: Path
) -> None:
    """A server in the provider's place, by the variable every snippet honours, sees what was meant."""
    snippet = write(replace(ASKED, model=model), language, library, "provider")
    seen: list[tuple[str, Any, str]] = []
    async with seeing(seen) as address:
        env = {f"{prefix}_API_KEY": "k-$HOME", f"{prefix}_BASE_URL": address}
        code, said = await run(snippet, node_modules, tmp_path, env)
    assert code == 0, said
    assert "seen" in said
    assert seen == [
        (
            "/v1/chat/completions",
            {
                "model": model.partition("/")[2],
                "messages": [{"role": "system", "content": ASKED.system_prompt}, {"role": "user", "content": NASTY}],
                most: 500,
                "temperature": 0.5,
                "stop": ["\n$HOME'"],
            },
            "Bearer k-$HOME",
        )
    ]


def test_no_secret_and_no_surprise() -> None:
    for (language, client), model in itertools.product(
        PROGRAMS, ("openai/x", "anthropic/x", "gemini/x", "perplexity/x")
    ):
        snippet = write(replace(ASKED, model=model), language, client, "provider")
        assert snippet.variables == [f"{model.partition('/')[0].upper()}_API_KEY"]
        assert snippet.variables[0] in snippet.code


@pytest.mark.parametrize(
    ("question", "language", "library", "target", "said"),
    [
        (ASKED, "python", "fetch", "gateway", "`openai` or `httpx`"),
        (ASKED, "curl", "openai", "gateway", "`curl`"),
        (ASKED, "python", None, "provider", "choose the target `gateway`"),
        (replace(ASKED, gateway_url='http://x"$(id)/v1'), "curl", None, "gateway", "YEOUL_PUBLIC_URL"),
    ],
)
def test_no_such_program(question: Question, language: Language, library: Client, target: str, said: str) -> None:
    with pytest.raises(NoSuchSnippet, match=said.replace("(", r"\(")):
        write(question, language, library, "provider" if target == "provider" else "gateway")


async def test_of_another_model(client: httpx.AsyncClient, account: Account, execute: Execute) -> None:
    made = await execute(models=["fake/echo", "fake/slow"], user_prompt="1 words")
    path = f"/api/prompts/{made['prompt_id']}/code"
    answer = await client.get(path, params={"model": "fake/slow"}, headers=account.headers)
    assert '"model": "fake/slow"' in answer.json()["code"]
    answer = await client.get(path, params={"model": "fake/silent"}, headers=account.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_such_snippet")


SCHEMA = {
    "type": "object",
    "properties": {"none": {"type": ["string", "null"], "default": None}, "한": {"enum": [True, False, None, 1.5]}},
    "required": [],
    "additionalProperties": False,
}


@pytest.mark.parametrize(("language", "library"), PROGRAMS)
async def test_a_form_and_images_reach_a_providers_server(
    language: Language, library: Client, node_modules: Path, tmp_path: Path
) -> None:
    asked = replace(
        ASKED, model="openai/gpt-4.1-mini", response_schema=SCHEMA, images=[Image(media_type="image/png", data=PNG)]
    )
    seen: list[tuple[str, Any, str]] = []
    async with seeing(seen) as address:
        env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": address}
        code, said = await run(write(asked, language, library, "provider"), node_modules, tmp_path, env)
    assert code == 0, said
    ((_, body, _),) = seen
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    url = f"data:image/png;base64,{b64encode(PNG).decode()}"
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": NASTY},
        {"type": "image_url", "image_url": {"url": url}},
    ]


@pytest.mark.parametrize(("language", "library"), PROGRAMS)
async def test_a_form_and_images_through_the_gateway(
    language: Language, library: Client, address: str, account: Account, node_modules: Path, tmp_path: Path
) -> None:
    image = Image(media_type="image/png", data=PNG)
    token = account.headers["Authorization"].removeprefix("Bearer ")
    schema = {"type": "object", "properties": {"said": {"type": "string"}}, "additionalProperties": False}
    asked = replace(ASKED, gateway_url=f"{address}/v1", parameters={}, response_schema=schema, images=[image])
    code, said = await run(write(asked, language, library, "gateway"), node_modules, tmp_path, {"YEOUL_API_KEY": token})
    assert code == 0, said
    if language == "curl":
        said = httpx.Response(200, text=said).json()["choices"][0]["message"]["content"]
    assert httpx.Response(200, text=said).json() == {"said": f"{NASTY} [image/png, {len(PNG)} bytes]"}


@pytest.mark.parametrize(
    ("question", "target", "said"),
    [
        (replace(ASKED, response_schema=SCHEMA, model="anthropic/x"), "provider", "response_schema"),
        (
            replace(ASKED, images=[Image(media_type="image/png", data=PNG + bytes(300_000))], model="openai/x"),
            "provider",
            "262,144 at most",
        ),
        (replace(ASKED, response_schema={"__proto__": {}}, model="openai/x"), "provider", "__proto__"),
    ],
)
def test_what_no_program_asks_the_same(question: Question, target: Target, said: str) -> None:
    with pytest.raises(NoSuchSnippet, match=said):
        write(question, "python", None, target)
