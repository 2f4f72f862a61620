"""The AI SDK's UI message stream, version 1."""

from collections.abc import Sequence
from typing import Any

from yeoul.core.completions.dialects.base import BEGAN_ANEW, STOPPING, Asked, content, data, tokens
from yeoul.core.completions.dialects.chat import DONE, finish_reason
from yeoul.core.completions.said import Parted, Range, Said
from yeoul.core.events.schemas import Event

_TEXT = {"id": "0"}
_RESUME = "resume the stream to have it from the start."


class UIEncoder:
    """UI message chunks, closed by ``[DONE]``.

    A stream that is resumed begins at the start again: the SDK replaces the message it holds. ``void`` is what the log
    had made void by then, so that the replay has no dead text. Void text that was sent live cannot be taken back: where
    the new attempt says something else, the stream ends with an ``error``.
    """

    def __init__(self, asked: Asked, void: Sequence[Range] = ()) -> None:
        self._asked = asked
        self._said = Said(void)
        self._is_open = False
        self.ended = False

    def open(self) -> str:
        """The chunk that begins a message, and its only step."""
        metadata = {"jobId": str(self._asked.job_id)}
        start = {"type": "start", "messageId": f"msg_{self._asked.job_id.hex}", "messageMetadata": metadata}
        return data(start) + data({"type": "start-step"})

    def take(self, event: Event) -> str:
        """What an event becomes."""
        try:
            match event.type:
                case "text" if event.seq is not None:
                    new = self._said.more(event.seq, content(event)["delta"])
                    return self._open_text() + data({"type": "text-delta", **_TEXT, "delta": new}) if new else ""
                case "retrying":
                    self._said.retry(content(event)["void_after"])
                case "succeeded":
                    self._said.end()
                    return self._finish(content(event)["output"])
                case "failed":
                    error = content(event)["error"] or {}
                    return self._end({"type": "error", "errorText": str(error.get("message"))})
                case "canceled":
                    return self._end({"type": "abort", "reason": "canceled"})
                case _:
                    pass
        except Parted:
            return self._end({"type": "error", "errorText": BEGAN_ANEW + _RESUME})
        return ""

    def cut(self) -> str:
        """The error that says to resume."""
        return self._end({"type": "error", "errorText": STOPPING + _RESUME})

    def _open_text(self) -> str:
        if self._is_open:
            return ""
        self._is_open = True
        return data({"type": "text-start", **_TEXT})

    def _close_text(self) -> str:
        return data({"type": "text-end", **_TEXT}) if self._is_open else ""

    def _end(self, *chunks: dict[str, Any]) -> str:
        self.ended = True
        return self._close_text() + "".join(map(data, chunks)) + DONE

    def _finish(self, output: dict[str, Any]) -> str:
        metadata: dict[str, Any] = {"model": output["model"]}
        if (counted := tokens(output)) is not None:
            metadata["usage"] = {"inputTokens": counted[0], "outputTokens": counted[1], "totalTokens": sum(counted)}
        finish = {"type": "finish", "finishReason": finish_reason(output), "messageMetadata": metadata}
        return self._end({"type": "finish-step"}, finish)
