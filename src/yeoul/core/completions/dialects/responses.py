"""OpenAI's Responses."""

from typing import Any

from yeoul.core.completions.dialects.base import STOPPING, Asked, cached, content, data, tokens
from yeoul.core.completions.errors import stream_error
from yeoul.core.completions.said import Parted, Said
from yeoul.core.events.schemas import Event

_STATUS = {"queued": "queued", "running": "in_progress", "canceled": "cancelled", "failed": "failed"}


class ResponsesEncoder:
    """Numbered ``response.…`` events; only those after ``starting_after`` are sent.

    Numbers count what the whole log becomes, so a number means the same event on every node and at any time. Text that
    is void stays in its own output item, which ends ``incomplete``; a fresh item holds the answer, alone in the final
    response. They begin at the log's ``base``: whoever holds a number from before a restore gets everything again.
    """

    def __init__(self, asked: Asked, starting_after: int | None = None, *, base: int = 0) -> None:
        self._asked = asked
        self._after = -1 if starting_after is None else starting_after
        self._next = base
        self._said = Said()
        self._index = 0
        self._sent: list[str] = []
        self._is_open = False
        self.ended = False
        self.response = response(asked, "queued")
        """The response as of the last event."""

    def open(self) -> str:
        """The first two events, which every job has."""
        return self._lifecycle("created") + self._lifecycle("queued")

    def take(self, event: Event) -> str:
        """What an event becomes."""
        match event.type:
            case "started":
                self.response = response(self._asked, "running")
                return self._lifecycle("in_progress")
            case "text" if event.seq is not None:
                return self._text(event.seq, content(event)["delta"])
            case "retrying":
                self._said.retry(content(event)["void_after"])
            case "succeeded":
                return self._succeeded(content(event)["output"])
            case "failed":
                return self._unfinished("failed", "failed", content(event)["error"])
            case "canceled":
                return self._unfinished("canceled", "incomplete", None)
            case _:
                pass
        return ""

    def cut(self) -> str:
        """An error that has no number: the stream is to be taken up from the last number."""
        where = f"GET /v1/responses/{self._asked.response_id}?stream=true&starting_after={self._next - 1}"
        error = {"type": "error", "code": "server_stopping", "message": STOPPING + where, "param": None}
        return data({**error, "sequence_number": max(self._next - 1, 0)}, "error")

    def _text(self, seq: int, delta: str) -> str:
        try:
            new = self._said.more(seq, delta)
        except Parted as parted:
            return self._anew() + self._open_item() + self._delta(parted.text)
        return self._open_item() + self._delta(new) if new else ""

    def _succeeded(self, output: dict[str, Any]) -> str:
        wire = ""
        try:
            self._said.end()
        except Parted as parted:
            wire = self._anew() + self._open_item() + self._delta(parted.text)
        wire += self._open_item() + self._close_item("completed")
        self.response = succeeded(self._asked, output, self._item("completed"))
        self.ended = True
        return wire + self._lifecycle(self.response["status"])

    def _unfinished(self, status: str, name: str, error: dict[str, Any] | None) -> str:
        items = [self._item("incomplete")] if self._is_open else []
        wire = self._close_item("incomplete") if self._is_open else ""
        self.response = response(self._asked, status, error=error, output=items)
        self.ended = True
        return wire + self._lifecycle(name)

    def _anew(self) -> str:
        """Ends the item whose text is void. The next one has another place and another id."""
        wire = self._close_item("incomplete")
        self._said.forget()
        self._index += 1
        self._sent = []
        return wire

    @property
    def _item_id(self) -> str:
        return f"msg_{self._asked.job_id.hex}_{self._index}"

    def _item(self, status: str) -> dict[str, Any]:
        return item(self._item_id, status, "".join(self._sent))

    def _open_item(self) -> str:
        if self._is_open:
            return ""
        self._is_open = True
        empty = item(self._item_id, "in_progress", None)
        added = self._numbered("output_item.added", output_index=self._index, item=empty)
        return added + self._numbered("content_part.added", **self._where(), part=_part(""))

    def _delta(self, text: str) -> str:
        if not text:
            return ""
        self._sent.append(text)
        return self._numbered("output_text.delta", **self._where(), delta=text, logprobs=[])

    def _close_item(self, status: str) -> str:
        self._is_open = False
        done = self._item(status)
        (part,) = done["content"]
        return (
            self._numbered("output_text.done", **self._where(), text=part["text"], logprobs=[])
            + self._numbered("content_part.done", **self._where(), part=part)
            + self._numbered("output_item.done", output_index=self._index, item=done)
        )

    def _where(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": self._index, "content_index": 0}

    def _lifecycle(self, name: str) -> str:
        return self._numbered(name, response=self.response)

    def _numbered(self, name: str, **members: Any) -> str:  # noqa: ANN401  (any JSON)
        number, self._next = self._next, self._next + 1
        if number <= self._after:
            return ""
        kind = f"response.{name}"
        return data({"type": kind, "sequence_number": number, **members}, kind)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def item(item_id: str, status: str, text: str | None) -> dict[str, Any]:
    """An output item; without a text yet, without content."""
    parts = [] if text is None else [_part(text)]
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": parts}


def succeeded(asked: Asked, output: dict[str, Any], done: dict[str, Any]) -> dict[str, Any]:
    """The response of a job that has an answer: ``completed``, or ``incomplete`` at ``max_output_tokens``."""
    made = response(asked, "succeeded", output=[done])
    made["model"] = output["model"]
    if (counted := tokens(output)) is not None:
        made["usage"] = {
            "input_tokens": counted[0],
            "input_tokens_details": {"cached_tokens": cached(output) or 0, "cache_write_tokens": 0},
            "output_tokens": counted[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(counted),
        }
    if output["finish_reason"] == "length":
        made["status"], made["incomplete_details"] = "incomplete", {"reason": "max_output_tokens"}
    return made


def _format(asked: Asked) -> dict[str, Any]:
    schema, client = asked.given.response_schema, asked.given.client
    if schema is None:
        return {"type": "text"}
    said = {"name": "answer", "strict": None, "description": None} | (client.format if client is not None else {})
    return {"type": "json_schema", "schema": schema, **said}


def response(
    asked: Asked, status: str, *, error: dict[str, Any] | None = None, output: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The response of a job in a status of ours."""
    given, client = asked.given, asked.given.client
    said = None
    if error is not None:
        shown = stream_error(error)["error"]
        code = "rate_limit_exceeded" if shown["code"] == "rate_limit_exceeded" else "server_error"
        said = {"code": code, "message": shown["message"], "type": shown["code"]}
    return {
        "id": asked.response_id,
        "object": "response",
        "created_at": asked.created,
        "status": _STATUS.get(status, "completed"),
        "background": client is not None and client.background,
        "error": said,
        "incomplete_details": None,
        "instructions": given.system,
        "max_output_tokens": given.parameters.max_tokens,
        "metadata": client.metadata if client is not None else {},
        "model": given.model,
        "output": output or [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": given.parameters.temperature,
        "text": {"format": _format(asked)},
        "tool_choice": "auto",
        "tools": [],
        "top_p": given.parameters.top_p,
        "truncation": "disabled",
        "usage": None,
    }
