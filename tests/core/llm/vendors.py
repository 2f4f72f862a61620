"""How each vendor really talks: its address, its stream, its errors."""

import json
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from yeoul.settings import Settings

STOP, LENGTH, FILTER = "stop", "length", "filter"


def settings(**fields: Any) -> Settings:
    """Settings that know nothing of this machine's environment."""
    blank = dict.fromkeys(
        f"{vendor}_{what}"
        for vendor in ("openai", "anthropic", "gemini", "perplexity")
        for what in ("api_key", "base_url")
    )
    blank |= {"compatible_base_url": None, "compatible_api_key": None, "default_model": None}
    return Settings(_env_file=None, **(blank | fields))


def sse(data: object, event: str | None = None) -> str:
    head = f"event: {event}\n" if event is not None else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


@dataclass(frozen=True)
class Usage:
    input: int = 12
    output: int = 5


class Vendor:
    """One wire format. ``pieces`` are the events of an answer, one for each piece of text, then the rest as one."""

    name: str
    model: str
    comments = True
    """Whether it sends comments between events."""

    def settings(self, url: str) -> Settings:
        return settings(**{f"{self.name}_api_key": "secret-key", f"{self.name}_base_url": url})

    def events(self, texts: Sequence[str], finish: str = STOP) -> list[str]:
        raise NotImplementedError

    def error(self, status: int) -> object:
        """The body of an error with this status."""
        raise NotImplementedError

    def context_error(self) -> tuple[int, object]:
        raise NotImplementedError

    def question(self, body: Any) -> tuple[str | None, list[tuple[str, str]]]:
        """The system prompt and the turns of a request's body."""
        raise NotImplementedError

    def schema(self, body: Any) -> Any:
        """The JSON Schema of a request's body."""
        raise NotImplementedError

    def images(self, body: Any) -> list[tuple[str, bytes]]:
        """The images of its last turn: media type and bytes."""
        raise NotImplementedError

    def cached(self, texts: Sequence[str]) -> list[str]:
        """An answer whose provider took 8 of the 12 input tokens from its cache."""
        raise NotImplementedError


class OpenAI(Vendor):
    name, model = "openai", "openai/gpt-4.1-mini"
    finish: ClassVar = {STOP: "stop", LENGTH: "length", FILTER: "content_filter"}

    def _chunk(self, **fields: Any) -> dict[str, Any]:
        model = self.model.partition("/")[2]
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1750000000, "model": model, **fields}

    def _choice(self, delta: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": finish}]

    def events(self, texts: Sequence[str], finish: str = STOP) -> list[str]:
        usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
        return [
            *(sse(self._chunk(choices=self._choice({"role": "assistant", "content": text}))) for text in texts),
            sse(self._chunk(choices=self._choice({}, self.finish[finish])))
            + sse(self._chunk(choices=[], usage=usage))
            + sse("[DONE]"),
        ]

    def error(self, status: int) -> object:
        return {"error": {"message": f"something about {status}", "type": "whatever", "param": None, "code": None}}

    def context_error(self) -> tuple[int, object]:
        message = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens."
        return 400, {"error": {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}}

    def question(self, body: Any) -> tuple[str | None, list[tuple[str, str]]]:
        turns = [(m["role"], m["content"]) for m in body["messages"]]
        system = "\n".join(content for role, content in turns if role in {"system", "developer"})
        return system or None, [turn for turn in turns if turn[0] in {"user", "assistant"}]

    def schema(self, body: Any) -> Any:
        form = body["response_format"]
        assert form["type"] == "json_schema"
        return form["json_schema"]["schema"]

    def images(self, body: Any) -> list[tuple[str, bytes]]:
        urls = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
        found = [url.removeprefix("data:").partition(";base64,") for url in urls]
        return [(media_type, b64decode(data)) for media_type, _, data in found]

    def cached(self, texts: Sequence[str]) -> list[str]:
        return [said.replace('"usage": {', '"usage": {' + self.details) for said in self.events(texts)]

    details = '"prompt_tokens_details": {"cached_tokens": 8}, '


class Compatible(OpenAI):
    """A llama.cpp server, whose context error is worded its own way."""

    name, model = "compatible", "compatible/some-model"

    def context_error(self) -> tuple[int, object]:
        message = "request (6031 tokens) exceeds the available context size (4096 tokens), try increasing it"
        return 400, {"error": {"code": 400, "message": message, "type": "exceed_context_size_error"}}


class Perplexity(OpenAI):
    """Sends the usage so far with every chunk, what it costs, and the pages it found."""

    name, model = "perplexity", "perplexity/sonar"
    pages: ClassVar = ["https://example.org/rivers"]

    def events(self, texts: Sequence[str], finish: str = STOP) -> list[str]:
        found = {"citations": self.pages, "search_results": [{"title": "Rivers", "url": self.pages[0]}]}

        def chunk(said: int, delta: dict[str, Any], end: str | None = None) -> str:
            usage: dict[str, Any] = {"prompt_tokens": 12, "completion_tokens": said, "total_tokens": 12 + said}
            if end is not None:
                usage["cost"] = {"request_cost": 0.005, "total_cost": 0.00527}
            return sse(self._chunk(choices=self._choice(delta, end), usage=usage, **found))

        return [
            *(chunk(1 + n, {"role": "assistant", "content": text}) for n, text in enumerate(texts)),
            chunk(5, {"content": ""}, self.finish[finish]) + sse("[DONE]"),
        ]

    def context_error(self) -> tuple[int, object]:
        return 400, {"error": {"message": "Too many tokens: 140000", "type": "invalid_message", "code": 400}}


class Anthropic(Vendor):
    name, model = "anthropic", "anthropic/claude-haiku-4-5"
    finish: ClassVar = {STOP: "end_turn", LENGTH: "max_tokens", FILTER: "refusal"}
    types: ClassVar = {
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        500: "api_error",
        529: "overloaded_error",
    }

    def events(self, texts: Sequence[str], finish: str = STOP) -> list[str]:
        usage = {"input_tokens": 12, "output_tokens": 1}
        head = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": []}
        message = head | {"stop_reason": None, "stop_sequence": None, "usage": usage}
        start: list[dict[str, Any]] = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
        ]
        deltas: list[dict[str, Any]] = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}} for text in texts
        ]
        stop = {"stop_reason": self.finish[finish], "stop_sequence": None}
        end: list[dict[str, Any]] = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
        opened, said, ended = ([sse(event, event["type"]) for event in events] for events in (start, deltas, end))
        return ["".join(opened) + said[0], *said[1:], "".join(ended)]

    def error(self, status: int) -> object:
        kind = self.types.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": f"something about {status}"}}

    def context_error(self) -> tuple[int, object]:
        message = "prompt is too long: 210000 tokens > 200000 maximum"
        return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": message}}

    def question(self, body: Any) -> tuple[str | None, list[tuple[str, str]]]:
        system = body.get("system")
        text = system if system is None or isinstance(system, str) else "\n".join(part["text"] for part in system)
        return text, [(m["role"], "".join(part["text"] for part in m["content"])) for m in body["messages"]]

    def schema(self, body: Any) -> Any:
        form = body["output_config"]["format"]
        assert form["type"] == "json_schema"
        return form["schema"]

    def images(self, body: Any) -> list[tuple[str, bytes]]:
        sources = [part["source"] for part in body["messages"][-1]["content"] if part["type"] == "image"]
        return [(source["media_type"], b64decode(source["data"])) for source in sources]

    def cached(self, texts: Sequence[str]) -> list[str]:
        # Its input tokens are those beside the cache.
        counted = '"input_tokens": 4, "cache_read_input_tokens": 8'
        return [said.replace('"input_tokens": 12', counted) for said in self.events(texts)]


class Gemini(Vendor):
    comments = False
    name, model = "gemini", "gemini/gemini-3.8-flash"
    finish: ClassVar = {STOP: "STOP", LENGTH: "MAX_TOKENS", FILTER: "SAFETY"}
    statuses: ClassVar = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        529: "UNAVAILABLE",
    }

    def _chunk(self, candidate: dict[str, Any] | None, **fields: Any) -> str:
        usage = {"promptTokenCount": 12, "candidatesTokenCount": 5, "totalTokenCount": 17}
        chunk = {"usageMetadata": usage, "modelVersion": "gemini-3.8-flash", "responseId": "r1", **fields}
        return sse(chunk if candidate is None else {"candidates": [candidate], **chunk})

    def events(self, texts: Sequence[str], finish: str = STOP) -> list[str]:
        end: dict[str, Any] = {"finishReason": self.finish[finish], "index": 0}
        if finish == FILTER:
            end["safetyRatings"] = [
                {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True},
                {"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "NEGLIGIBLE"},
            ]
        return [
            *(self._chunk({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}) for text in texts),
            self._chunk(end),
        ]

    def blocked_prompt(self, reason: str) -> str:
        return self._chunk(None, promptFeedback={"blockReason": reason})

    def error(self, status: int) -> object:
        # Google has no 529: what is overloaded is UNAVAILABLE, and says so.
        message = "The model is overloaded. Please try again later." if status == 529 else f"something about {status}"
        return {"error": {"code": status, "message": message, "status": self.statuses[status]}}

    def context_error(self) -> tuple[int, object]:
        message = "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576)."
        return 400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}

    def question(self, body: Any) -> tuple[str | None, list[tuple[str, str]]]:
        system = body.get("systemInstruction")
        turns = [
            ({"model": "assistant"}.get(c["role"], c["role"]), "".join(part["text"] for part in c["parts"]))
            for c in body["contents"]
        ]
        return system and "".join(part["text"] for part in system["parts"]), turns

    def schema(self, body: Any) -> Any:
        form = body["generationConfig"]
        assert form["responseMimeType"] == "application/json"
        return form["responseJsonSchema"]

    def images(self, body: Any) -> list[tuple[str, bytes]]:
        found = [part["inlineData"] for part in body["contents"][-1]["parts"] if "inlineData" in part]
        return [(one["mime_type"], urlsafe_b64decode(one["data"])) for one in found]

    def cached(self, texts: Sequence[str]) -> list[str]:
        counted = '"promptTokenCount": 12, "cachedContentTokenCount": 8'
        return [said.replace('"promptTokenCount": 12', counted) for said in self.events(texts)]


VENDORS: list[Vendor] = [OpenAI(), Anthropic(), Gemini(), Perplexity(), Compatible()]
