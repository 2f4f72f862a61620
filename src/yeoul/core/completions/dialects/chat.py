"""OpenAI's chat completions."""

from typing import Any

from yeoul.core.completions.dialects.base import BEGAN_ANEW, STOPPING, Asked, cached, content, data, tokens
from yeoul.core.completions.errors import stream_error
from yeoul.core.completions.said import Parted, Said
from yeoul.core.events.schemas import Event

DONE = "data: [DONE]\n\n"


class ChatEncoder:
    """``chat.completion.chunk`` events, closed by ``[DONE]``.

    The dialect cannot take text back: where a new attempt says something else, the stream ends with an error.
    """

    def __init__(self, asked: Asked, *, include_usage: bool) -> None:
        self._asked = asked
        self._include_usage = include_usage
        self._said = Said()
        self.ended = False

    def open(self) -> str:
        """The chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def take(self, event: Event) -> str:
        """One chunk for a piece of text; the last ones for the job's end."""
        try:
            match event.type:
                case "text" if event.seq is not None:
                    new = self._said.more(event.seq, content(event)["delta"])
                    return self._chunk({"content": new}) if new else ""
                case "retrying":
                    self._said.retry(content(event)["void_after"])
                case "succeeded":
                    self._said.end()
                    return self._end(content(event)["output"])
                case "failed":
                    return self._error(stream_error(content(event)["error"] or {}))
                case "canceled":
                    return self._error(_error("The job was canceled.", "canceled"))
                case _:
                    pass
        except Parted:
            return self._error(_error(BEGAN_ANEW + self._elsewhere(), "answer_began_anew"))
        return ""

    def cut(self) -> str:
        """The error that says where to read on."""
        return self._error(_error(STOPPING + self._elsewhere(), "server_stopping"))

    def _elsewhere(self) -> str:
        return f"read it whole at GET /v1/responses/{self._asked.response_id}."

    def _error(self, body: dict[str, Any]) -> str:
        self.ended = True
        return data(body)

    def _end(self, output: dict[str, Any]) -> str:
        self.ended = True
        last = self._chunk({}, finish_reason(output))
        usage = data({**self._head(), "choices": [], "usage": usage_of(output)}) if self._include_usage else ""
        return last + usage + DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._include_usage else {}
        return data({**self._head(), "choices": [choice], **usage})

    def _head(self) -> dict[str, Any]:
        return head(self._asked, "chat.completion.chunk", self._asked.given.model)


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


def head(asked: Asked, kind: str, model: str) -> dict[str, Any]:
    """What every object of this dialect begins with."""
    return {"id": f"chatcmpl-{asked.job_id.hex}", "object": kind, "created": asked.created, "model": model}


def finish_reason(output: dict[str, Any]) -> str:
    """OpenAI's word for why an answer ended. It has none for "other"."""
    return "length" if output["finish_reason"] == "length" else "stop"


def usage_of(output: dict[str, Any]) -> dict[str, Any] | None:
    """Tokens, where the provider said."""
    counted = tokens(output)
    if counted is None:
        return None
    usage = {"prompt_tokens": counted[0], "completion_tokens": counted[1], "total_tokens": sum(counted)}
    return usage if (hit := cached(output)) is None else {**usage, "prompt_tokens_details": {"cached_tokens": hit}}


def completion(asked: Asked, output: dict[str, Any]) -> dict[str, Any]:
    """A whole ``chat.completion``."""
    message = {"role": "assistant", "content": output["text"], "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(output)}
    return {
        **head(asked, "chat.completion", output["model"]),
        "choices": [choice],
        "usage": usage_of(output),
    }
