"""What an event is to its readers."""

from dataclasses import dataclass
from uuid import UUID

TERMINAL = frozenset({"succeeded", "failed", "canceled"})
"""Event types after which a job's stream closes."""

TRANSITIONS = TERMINAL | {"started", "retrying"}
"""Event types that say the job's state has changed."""

RESERVED = TRANSITIONS | {"queued", "reset", "restored", "text", "step", "progress"}
"""Event types with a meaning of their own, which no handler gives to its own events."""

AGE_BITS = 20
"""A restore begins an age: streams that can grow go on after a seq whose lowest bits are 0, which nobody holds yet."""

MAX_EVENT_BYTES = 262_144
"""Largest data of one event, in bytes of JSON. Longer text is split; anything else that large belongs in a file."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as read from the log: ``data`` is JSON text. ``seq`` is null for what is not part of the log."""

    stream_id: UUID
    seq: int | None
    type: str
    data: str


def begins(seq: int) -> bool:
    """Whether a seq is the first of an age, so that nothing is missing before it."""
    return seq & ((1 << AGE_BITS) - 1) == 1


def reset(stream_id: UUID) -> Event:
    """Tells a client whose cursor lies beyond the log to forget what it holds; everything follows from the start."""
    return Event(stream_id, None, "reset", "{}")
