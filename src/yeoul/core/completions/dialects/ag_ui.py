"""AG-UI, version 1.0."""

from collections.abc import Sequence
from typing import Any

from yeoul.core.completions.dialects.base import BEGAN_ANEW, STOPPING, Asked, content, data, tokens
from yeoul.core.completions.said import Parted, Range, Said
from yeoul.core.events.schemas import Event

_RESUME = "GET the run's stream to have it from the start."


class AGUIEncoder:
    """AG-UI events, from ``RUN_STARTED`` to ``RUN_FINISHED`` or ``RUN_ERROR``.

    Resuming and void text are as in ``UIEncoder``.
    Its MESSAGES_SNAPSHOT could take text back, but only with the client's own messages in it, whose ids are not kept.
    """

    def __init__(self, asked: Asked, void: Sequence[Range] = ()) -> None:
        client = asked.given.client
        run_id = (client and client.id) or str(asked.job_id)
        self._ids = {"threadId": (client and client.thread) or run_id, "runId": run_id}
        self._message = {"messageId": f"msg_{asked.job_id.hex}"}
        self._job_id = asked.job_id
        self._said = Said(void)
        self._is_open = False
        self.ended = False

    def open(self) -> str:
        """The run's beginning."""
        return data({"type": "RUN_STARTED", **self._ids, "protocolVersion": "1.0"})

    def take(self, event: Event) -> str:
        """What an event becomes."""
        try:
            match event.type:
                case "text" if event.seq is not None:
                    new = self._said.more(event.seq, content(event)["delta"])
                    piece = {"type": "TEXT_MESSAGE_CONTENT", **self._message, "delta": new}
                    return self._open_text() + data(piece) if new else ""
                case "retrying":
                    self._said.retry(content(event)["void_after"])
                case "succeeded":
                    self._said.end()
                    return self._finished({"type": "success"}, self._result(content(event)["output"]))
                case "failed":
                    error = content(event)["error"] or {}
                    return self._error(str(error.get("message")), str(error.get("code")))
                case "canceled":
                    return self._finished({"type": "cancelled"}, {})
                case _:
                    pass
        except Parted:
            return self._error(BEGAN_ANEW + _RESUME, "answer_began_anew")
        return ""

    def cut(self) -> str:
        """The error that says to resume."""
        return self._error(STOPPING + _RESUME, "server_stopping")

    def _open_text(self) -> str:
        if self._is_open:
            return ""
        self._is_open = True
        return data({"type": "TEXT_MESSAGE_START", **self._message, "role": "assistant"})

    def _close_text(self) -> str:
        self.ended = True
        return data({"type": "TEXT_MESSAGE_END", **self._message}) if self._is_open else ""

    def _result(self, output: dict[str, Any]) -> dict[str, Any]:
        counted = tokens(output)
        usage = None if counted is None else {"inputTokens": counted[0], "outputTokens": counted[1]}
        return {"result": {"jobId": str(self._job_id), "model": output["model"], "usage": usage}}

    def _finished(self, outcome: dict[str, str], result: dict[str, Any]) -> str:
        return self._close_text() + data({"type": "RUN_FINISHED", **self._ids, "outcome": outcome, **result})

    def _error(self, message: str, code: str) -> str:
        return self._close_text() + data({"type": "RUN_ERROR", "message": message, "code": code})
