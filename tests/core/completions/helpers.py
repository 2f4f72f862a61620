"""What tests of dialects share: a kind that fails as told, and readers of what each dialect sends."""

import json
from collections.abc import Sequence
from typing import Any

from yeoul.core.base.errors import Unavailable
from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.jobs.kinds import Backoff
from yeoul.core.llm.schemas import Completed, Cost, Usage
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler

QUICK = Backoff(first=0.01, longest=0.02)
FAIL = "!"


@handler("llm.complete", backoff=QUICK)
async def told(ctx: Context, given: CompleteInput) -> Completed:
    """Says what the message lists for this attempt; one that ends with `!` fails after it."""
    assert given.messages
    attempts: list[str] = json.loads(given.messages[-1].content)
    said = attempts[ctx.attempt - 1]
    for word in said.removesuffix(FAIL).split(" "):
        await ctx.text(word + " ")
    if said.endswith(FAIL):
        raise Unavailable("The model is gone.")
    return Completed(
        text=" ".join(said.split(" ")) + " ",
        finish_reason="stop",
        usage=Usage(input_tokens=1, output_tokens=len(said.split(" "))),
        cost=Cost(),
        model="fake/told",
        time_ms=1,
        first_token_ms=1,
    )


def sse(wire: str) -> list[dict[str, Any]]:
    """The data of server-sent events, without the closing `[DONE]`."""
    lines = [line.removeprefix("data: ") for line in wire.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def chat_text(chunks: Sequence[dict[str, Any]]) -> str:
    """What a client of chat completions holds."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


def ui_text(chunks: Sequence[dict[str, Any]]) -> str:
    """What a client of the AI SDK holds."""
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


def ag_ui_text(events: Sequence[dict[str, Any]]) -> str:
    """What a client of AG-UI holds."""
    return "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")


def item_texts(events: Sequence[dict[str, Any]]) -> dict[int, str]:
    """What a client of Responses holds: text by output item."""
    texts: dict[int, str] = {}
    for event in events:
        if event["type"] == "response.output_text.delta":
            texts[event["output_index"]] = texts.get(event["output_index"], "") + event["delta"]
    return texts
