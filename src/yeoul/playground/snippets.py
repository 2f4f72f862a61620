"""A prompt as a program: the same question, asked from a shell, Python or JavaScript.

No snippet holds a secret: keys are read from the environment. Values are written as JSON, whose strings are literals in
Python and JavaScript too; the shell gets it in a quoted here-document, in which nothing is expanded.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from yeoul.core.llm.images import Image
from yeoul.playground.errors import NoSuchSnippet

Language = Literal["curl", "python", "javascript"]
Client = Literal["curl", "openai", "httpx", "fetch"]
Target = Literal["gateway", "provider"]

CLIENTS: Mapping[Language, tuple[Client, ...]] = {
    "curl": ("curl",),
    "python": ("openai", "httpx"),
    "javascript": ("openai", "fetch"),
}
"""The clients of each language, the usual one first."""

_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:_\[\]-]+(/[A-Za-z0-9._~/-]*)?")
"""It stands in programs as it is, and comes from a request's Host."""

MOST_IMAGE_BYTES = 262_144
"""Images stand in the program itself, so that it needs no other file."""

_PROTOTYPE = '"__proto__"'
_INSTALL = {
    ("python", "openai"): "pip install openai",
    ("python", "httpx"): "pip install httpx",
    ("javascript", "openai"): "npm install openai",
}
_FILES: Mapping[Language, str] = {"curl": "prompt.sh", "python": "prompt.py", "javascript": "prompt.mjs"}


@dataclass(frozen=True)
class _Door:
    """Where an OpenAI-compatible API is, and the prefix of the variables that say so."""

    url: str
    prefix: str
    max_tokens: str = "max_tokens"
    schemas: bool = True
    """Whether it keeps to ``response_format``."""


# All of them speak OpenAI's chat completions.
_PROVIDERS = {
    "openai": _Door("https://api.openai.com/v1", "OPENAI", max_tokens="max_completion_tokens"),
    "anthropic": _Door("https://api.anthropic.com/v1", "ANTHROPIC", schemas=False),
    "gemini": _Door("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI"),
    "perplexity": _Door("https://api.perplexity.ai", "PERPLEXITY"),
}


class Snippet(BaseModel):
    """A program. ``variables`` must be in the environment; ``file``: a name for it; ``install``: what it needs."""

    language: Language
    client: Client
    target: Target
    model: str
    file: str
    install: str | None
    variables: list[str]
    code: str


@dataclass(frozen=True)
class Question:
    """What is asked: ``model`` is a full id, ``gateway_url`` this installation's ``/v1``."""

    system_prompt: str | None
    user_prompt: str
    parameters: Mapping[str, Any]
    model: str
    gateway_url: str
    response_schema: Mapping[str, Any] | None = None
    images: Sequence[Image] = ()


def write(question: Question, language: Language, client: Client | None, target: Target) -> Snippet:
    """The program; raises ``NoSuchSnippet``."""
    chosen = client or CLIENTS[language][0]
    if chosen not in CLIENTS[language]:
        known = " or ".join(f"`{one}`" for one in CLIENTS[language])
        raise NoSuchSnippet(f"There is no `{chosen}` for {language}: choose {known}.")
    provider, _, name = question.model.partition("/")
    if not _PLAIN_URL.fullmatch(question.gateway_url):
        raise NoSuchSnippet("This server does not know its own address. Set YEOUL_PUBLIC_URL.")
    door, model = _Door(question.gateway_url, "YEOUL"), question.model
    if target == "provider":
        if provider not in _PROVIDERS:
            raise NoSuchSnippet(f"`{question.model}` is this installation's own model: choose the target `gateway`.")
        door, model = _PROVIDERS[provider], name
    _refuse(question, door)
    code = _WRITERS[language, chosen](door, _body(question, model, door))
    return Snippet(
        language=language,
        client=chosen,
        target=target,
        model=model,
        file=_FILES[language],
        install=_INSTALL.get((language, chosen)),
        variables=[f"{door.prefix}_API_KEY"],
        code=code,
    )


def _refuse(question: Question, door: _Door) -> None:
    """Raises ``NoSuchSnippet`` where the program would ask something else than the prompt."""
    if question.response_schema is not None and _PROTOTYPE in json.dumps(question.response_schema):
        raise NoSuchSnippet(f"The `response_schema` has the name {_PROTOTYPE}, which means something else in programs.")
    if question.response_schema is not None and not door.schemas:
        raise NoSuchSnippet(f"The API at {door.url} does not keep to a `response_schema`: no program asks it the same.")
    if (size := sum(len(image.data) for image in question.images)) > MOST_IMAGE_BYTES:
        raise NoSuchSnippet(f"The images have {size:,} bytes; in a program stand {MOST_IMAGE_BYTES:,} at most.")


def _body(question: Question, model: str, door: _Door) -> dict[str, Any]:
    content: Any = question.user_prompt
    if question.images:
        content = [{"type": "text", "text": content}, *map(_part, question.images)]
    messages = [{"role": "user", "content": content}]
    if question.system_prompt:
        messages.insert(0, {"role": "system", "content": question.system_prompt})
    names = {"max_tokens": door.max_tokens}
    given = {names.get(name, name): value for name, value in question.parameters.items()}
    if question.response_schema is not None:
        form = {"name": "answer", "schema": question.response_schema}
        given["response_format"] = {"type": "json_schema", "json_schema": form}
    return {"model": model, "messages": messages, **given}


def _part(image: Image) -> dict[str, Any]:
    data = base64.b64encode(image.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{data}"}}


_PYTHON = {"true": "True", "false": "False", "null": "None"}


def _literal(value: Any, indent: int = 0, words: Mapping[str, str] | None = None) -> str:  # noqa: ANN401  (any JSON)
    """A value as JSON, its later lines indented; ``words`` in place of JSON's own."""
    inner = "\n" + " " * (indent + 2)
    if isinstance(value, Mapping) and value:
        parts = [f"{_literal(name)}: {_literal(one, indent + 2, words)}" for name, one in value.items()]
        return "{" + inner + f",{inner}".join(parts) + "\n" + " " * indent + "}"
    if isinstance(value, list) and value:
        parts = [_literal(one, indent + 2, words) for one in value]
        return "[" + inner + f",{inner}".join(parts) + "\n" + " " * indent + "]"
    text = json.dumps(value, ensure_ascii=False)
    return (words or {}).get(text, text)


def _curl(door: _Door, body: dict[str, Any]) -> str:
    return f"""\
curl --fail-with-body --silent --show-error "${{{door.prefix}_BASE_URL:-{door.url}}}/chat/completions" \\
  --header "Authorization: Bearer ${door.prefix}_API_KEY" \\
  --header "Content-Type: application/json" \\
  --data-binary @- <<'JSON'
{_literal(body)}
JSON
"""


def _arguments(body: dict[str, Any], between: str, indent: int, words: Mapping[str, str] | None = None) -> str:
    pad = " " * indent
    return "".join(f"{pad}{name}{between}{_literal(value, indent, words)},\n" for name, value in body.items())


def _python_openai(door: _Door, body: dict[str, Any]) -> str:
    return f"""\
import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("{door.prefix}_BASE_URL", "{door.url}"),
    api_key=os.environ["{door.prefix}_API_KEY"],
)
answer = client.chat.completions.create(
{_arguments(body, "=", 4, _PYTHON)})
print(answer.choices[0].message.content)
"""


def _python_httpx(door: _Door, body: dict[str, Any]) -> str:
    return f"""\
import os

import httpx

answer = httpx.post(
    os.environ.get("{door.prefix}_BASE_URL", "{door.url}") + "/chat/completions",
    headers={{"Authorization": "Bearer " + os.environ["{door.prefix}_API_KEY"]}},
    json={_literal(body, 4, _PYTHON)},
    timeout=600,
)
answer.raise_for_status()
print(answer.json()["choices"][0]["message"]["content"])
"""


def _javascript_openai(door: _Door, body: dict[str, Any]) -> str:
    return f"""\
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: process.env.{door.prefix}_BASE_URL ?? "{door.url}",
  apiKey: process.env.{door.prefix}_API_KEY,
}});
const answer = await client.chat.completions.create({{
{_arguments(body, ": ", 2)}}});
console.log(answer.choices[0].message.content);
"""


def _javascript_fetch(door: _Door, body: dict[str, Any]) -> str:
    return f"""\
const base = process.env.{door.prefix}_BASE_URL ?? "{door.url}";
const answer = await fetch(base + "/chat/completions", {{
  method: "POST",
  headers: {{
    Authorization: "Bearer " + process.env.{door.prefix}_API_KEY,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify({_literal(body, 2)}),
}});
if (!answer.ok) throw new Error(answer.status + " " + (await answer.text()));
console.log((await answer.json()).choices[0].message.content);
"""


_WRITERS = {
    ("curl", "curl"): _curl,
    ("python", "openai"): _python_openai,
    ("python", "httpx"): _python_httpx,
    ("javascript", "openai"): _javascript_openai,
    ("javascript", "fetch"): _javascript_fetch,
}
