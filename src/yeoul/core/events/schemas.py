"""What an event is to its readers."""

from dataclasses import dataclass
from uuid import UUID

TERMINAL = frozenset({"succeeded", "failed", "canceled"})
"""Event types after which a job's stream closes."""

TRANSITIONS = TERMINAL | {"started", "retrying"}
"""Event types that say the job's state has changed."""

RESERVED = TRANSITIONS | {"queued", "reset", "text", "step", "progress"}
"""Event types with a meaning of their own, which no handler gives to its own events."""

MAX_EVENT_BYTES = 262_144
"""Largest data of one event, in bytes of JSON. Longer text is split; anything else that large belongs in a file."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as read from the log: ``data`` is JSON text. ``seq`` is null for what is not part of the log."""

    stream_id: UUID
    seq: int | None
    type: str
    data: str


def reset(stream_id: UUID) -> Event:
    """Tells a client whose cursor lies beyond the log to forget what it holds; everything follows from the start."""
    return Event(stream_id, None, "reset", "{}")
