"""An attempt as the worker that holds it sees it: what it has said and not yet written."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from prometheus_client import Counter

from yeoul.core.base import json
from yeoul.core.base.errors import InvalidInput
from yeoul.core.events.schemas import MAX_EVENT_BYTES
from yeoul.core.jobs.errors import LostLease

HIGH_WATER = 262_144
"""Bytes an attempt may have unwritten before it has to wait for the log."""
EVENT_OVERHEAD = 64
"""What an event weighs beside its data, in bytes: many tiny ones are much too."""
PIECE = (MAX_EVENT_BYTES - EVENT_OVERHEAD) // 6
"""Longest text of one event, in characters: each takes six bytes of JSON at most."""

ENDED = Counter(
    "yeoul_worker_attempts", "Attempts this process has ended, or taken from a dead worker.", ["kind", "status"]
)

Fence = tuple[UUID, int]
"""Job and epoch: what every write of an attempt is compared with."""

StopReason = Literal["cancel", "lost", "drain", "timeout", "broken"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """A finished step, to be kept together with its event."""

    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ends. ``queued``: again after ``delay`` seconds. ``given_back``: it does not count as one."""

    status: Literal["succeeded", "failed", "canceled", "queued"]
    output: str | None = None
    error: str | None = None
    delay: float = 0
    given_back: bool = False


@dataclass(slots=True)
class _Said:
    type: str
    parts: list[str]
    size: int = 0
    step: StepResult | None = None

    @property
    def data(self) -> str:
        return json.dumps({"delta": "".join(self.parts)}) if self.type == "text" else self.parts[0]


@dataclass(eq=False)
class Attempt:
    """One try at a job. ``epoch`` fences its every write; ``last_seq`` is the last event of the job in the log."""

    job_id: UUID
    kind: str
    owner_id: UUID
    root_id: UUID
    input: str
    attempt: int
    max_attempts: int
    epoch: int
    last_seq: int
    owner_stream: UUID
    unwritten: int = 0
    said: list[_Said] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    stopped: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    stop_reason: StopReason | None = None

    @property
    def fence(self) -> Fence:
        """What every write of it is compared with."""
        return self.job_id, self.epoch

    def say(self, kind: str, data: object, step: StepResult | None = None) -> None:
        """Adds an event of any type but text."""
        self._may_speak()
        text = json.dumps(data)
        if (size := len(text.encode())) > MAX_EVENT_BYTES:
            raise InvalidInput(
                f"An event of type {kind!r} has {size:,} bytes; {MAX_EVENT_BYTES:,} is the most. "
                "Put large data in a file."
            )
        self.unwritten += size + EVENT_OVERHEAD
        self.said.append(_Said(kind, [text], size, step))

    def say_text(self, delta: str) -> None:
        """Adds text. It joins the text before it, so that one flush writes one event; what is too long is split."""
        self._may_speak()
        text = json.clean_text(delta)
        self.unwritten += len(text)
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            last = self.said[-1] if self.said else None
            if last is not None and last.type == "text" and last.size + len(piece) <= PIECE:
                last.parts.append(piece)
                last.size += len(piece)
            else:
                self.said.append(_Said("text", [piece], len(piece)))

    def _may_speak(self) -> None:
        if self.stop_reason in ("lost", "broken"):
            raise LostLease(f"job {self.job_id} is no longer this worker's")

    def take(self) -> list[tuple[int, str, str, StepResult | None]]:
        """Everything said, numbered: (seq, type, data, step)."""
        taken = [(self.last_seq + n, said.type, said.data, said.step) for n, said in enumerate(self.said, 1)]
        self.last_seq += len(taken)
        self.said, self.unwritten = [], 0
        return taken

    def stop(self, reason: StopReason) -> None:
        """Asks the attempt to end; the first reason stands, but for a loss, which overrides every other."""
        if self.stop_reason is None or reason == "lost":
            self.stop_reason = reason
        if not self.stopped.done():
            self.stopped.set_result(None)
