"""What an encoder is: one job's events in, one dialect's wire text out. No I/O, no clock, no chance.

The same events always give the same text, on every node and at any time: that is what makes a stream resumable.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from yeoul.core.base import json
from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.events.schemas import TERMINAL, Event

BEGAN_ANEW = (
    "A worker was lost or the model failed midway, the answer began anew, and it differs from what this stream has "
    "sent. The job goes on: "
)
STOPPING = "The server is being restarted. The job goes on: "


@dataclass(frozen=True)
class Asked:
    """A job as its encoders need it: what never changes about it."""

    job_id: UUID
    created_at: datetime
    given: CompleteInput

    @property
    def created(self) -> int:
        """Unix seconds."""
        return int(self.created_at.timestamp())

    @property
    def response_id(self) -> str:
        """The job's id among OpenAI's responses."""
        return f"resp_{self.job_id.hex}"


class Encoder(Protocol):
    """A dialect's view of one job."""

    ended: bool
    """Nothing more is to be sent."""

    def open(self) -> str:
        """What is sent before any event."""

    def take(self, event: Event) -> str:
        """What an event becomes: nothing, or some of the dialect's own."""

    def cut(self) -> str:
        """What is sent when the server must close before the job has ended."""


# Line breaks to some clients, which read events line by line, though not to JSON nor to the event stream's own rules.
_BREAKS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"})


def data(value: object, name: str | None = None) -> str:
    """One server-sent event."""
    text = json.dumps(value)
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {text if text.isascii() else text.translate(_BREAKS)}\n\n"


def content(event: Event) -> dict[str, Any]:
    """An event's data."""
    loaded: dict[str, Any] = json.loads(event.data)
    return loaded


def is_terminal(event: Event) -> bool:
    """Whether the job has ended with it."""
    return event.type in TERMINAL


def tokens(output: dict[str, Any]) -> tuple[int, int] | None:
    """Input and output tokens of a whole answer, where the provider said."""
    usage = output.get("usage")
    return None if usage is None else (usage["input_tokens"], usage["output_tokens"])


def cached(output: dict[str, Any]) -> int | None:
    """Input tokens from the provider's cache, where it said."""
    found: int | None = (output.get("usage") or {}).get("cached_input_tokens")
    return found
