"""The live channel of an execution: its iterations' streams as one, in the words of the playground.

::

    {"type": "started",  iteration, model, attempt}
    {"type": "chunk",    iteration, model, seq, content}
    {"type": "retrying", iteration, model, attempt, in_seconds, error}   what it has said is void
    {"type": "reset",    iteration, model}                               the same: it is told again from its start
    {"type": "complete", iteration, model, …result}
    {"type": "error",    iteration, model, …result}
    {"type": "end",      execution_id, status, completed_at}

A cursor is the seq of each iteration's last event, in base 36, joined by dots; nothing stands for 0.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from yeoul.core.base import json
from yeoul.core.base.errors import InvalidInput
from yeoul.core.events.merged import Merged
from yeoul.core.events.schemas import TERMINAL, Event
from yeoul.core.runtime.services import Services
from yeoul.playground import repository, service
from yeoul.playground.schemas import ExecutionOut, ResultOut

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST_SEQ = 13
_GONE = 1
"""The cursor of an iteration whose events are past their time, once its result has been told."""


@dataclass
class _Lane:
    job_id: UUID
    iteration: int
    model: str
    seq: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the channel. ``cursor`` is where it leaves a client that has read it."""

    cursor: str
    type: str
    data: dict[str, Any]


class Live:
    """One reader of one execution."""

    def __init__(self, services: Services, user_id: UUID, execution_id: UUID, lanes: Sequence[_Lane]) -> None:
        self._services = services
        self._user_id = user_id
        self._lanes = lanes
        self._by_job = {lane.job_id: lane for lane in lanes}
        self._cursors: list[tuple[UUID, int]] = []
        self._reset: list[_Lane] = []
        self._told: list[_Lane] = []
        self.execution_id = execution_id
        self.over = False
        """There is nothing left to read."""

    async def messages(self, silence: float | None = None) -> AsyncGenerator[list[Message]]:
        """What there is and what comes, in batches; an empty one after each ``silence`` seconds without anything."""
        before = [self._message(lane, "reset", {}) for lane in self._reset]
        before += await self._ended(self._told)
        if before:
            yield before
        merged = Merged(self._services.events, self._cursors)
        async with merged, aclosing(merged.batches(silence)) as batches:
            async for batch in batches:
                yield await self._translated(batch) if batch else []
        if merged.over:
            yield [await self._end()]

    async def open(self, after: str | None) -> None:
        """Finds what is left to read after a cursor. Raises ``InvalidInput`` for one of another execution."""
        ids = [lane.job_id for lane in self._lanes]
        async with self._services.database.as_user(self._user_id) as session:
            unfinished = await repository.unfinished(session, ids)
            spans = await repository.spans(session, ids)
        given = decode(after, len(ids))
        for lane, seq in zip(self._lanes, given, strict=True):
            base, last = spans.get(lane.job_id, (0, 0))
            lane.seq = seq
            if lane.job_id not in unfinished and last in {seq, 0}:
                if seq == 0:
                    self._told.append(lane)
                continue
            if seq > last or 0 < seq < base:
                self._reset.append(lane)
                lane.seq = 0
            self._cursors.append((lane.job_id, lane.seq))
        self.over = after is not None and not self._cursors and not self._told

    async def _translated(self, events: list[Event]) -> list[Message]:
        ended = [self._by_job[event.stream_id] for event in events if event.type in TERMINAL]
        results = await self._results(ended)
        messages = []
        for event in events:
            lane = self._by_job[event.stream_id]
            lane.seq = event.seq if event.seq is not None else lane.seq
            if event.type in TERMINAL:
                messages.append(self._result(lane, results))
            elif (said := _said(event)) is not None:
                messages.append(self._message(lane, *said))
        return messages

    async def _ended(self, lanes: list[_Lane]) -> list[Message]:
        results = await self._results(lanes)
        messages = []
        for lane in lanes:
            lane.seq = _GONE
            messages.append(self._result(lane, results))
        return messages

    async def _results(self, lanes: Sequence[_Lane]) -> dict[UUID, ResultOut]:
        if not lanes:
            return {}
        async with self._services.database.as_user(self._user_id) as session:
            rows = await repository.results_by_id(session, [lane.job_id for lane in lanes])
            return {one.id: ResultOut.model_validate(one) for one in rows.values()}

    def _result(self, lane: _Lane, results: dict[UUID, ResultOut]) -> Message:
        result = results.get(lane.job_id)
        if result is None:
            words = {"status": "error", "error_code": "deleted", "error_message": "The prompt has been deleted."}
            return self._message(lane, "error", words)
        data = result.model_dump(mode="json")
        return self._message(lane, "complete" if result.status == "completed" else "error", data)

    def _message(self, lane: _Lane, kind: str, data: dict[str, Any]) -> Message:
        cursor = encode([one.seq for one in self._lanes])
        return Message(cursor, kind, {"type": kind, "iteration": lane.iteration, "model": lane.model, **data})

    async def _end(self) -> Message:
        async with self._services.database.as_user(self._user_id) as session:
            found = await repository.execution(session, self.execution_id)
            shown = None if found is None else ExecutionOut.model_validate(found).model_dump(mode="json")
        status = {name: None if shown is None else shown[name] for name in ("status", "completed_at")}
        data = {"type": "end", "execution_id": str(self.execution_id), **status}
        return Message(encode([one.seq for one in self._lanes]), "end", data)


async def follow(services: Services, user_id: UUID, either: UUID, after: str | None) -> Live:
    """A reader of an execution (or a prompt's latest), from its start or after a cursor. Raises ``PromptNotFound``."""
    async with services.database.as_user(user_id) as session:
        found = await service.execution(session, either)
    live = Live(services, user_id, found.id, [_Lane(*lane, seq=0) for lane in service.lanes(found)])
    await live.open(after)
    return live


def _said(event: Event) -> tuple[str, dict[str, Any]] | None:
    if event.type == "text":
        return "chunk", {"seq": event.seq, "content": json.loads(event.data)["delta"]}
    if event.type == "started":
        return "started", json.loads(event.data)
    if event.type == "retrying":
        told = json.loads(event.data)
        return "retrying", {name: told[name] for name in ("attempt", "in_seconds", "error")}
    if event.type == "reset":
        return "reset", {}
    return None


def encode(seqs: Sequence[int]) -> str:
    """A cursor."""
    return ".".join(map(_base36, seqs))


def decode(cursor: str | None, count: int) -> list[int]:
    """The seqs of a cursor; raises ``InvalidInput``."""
    if not cursor:
        return [0] * count
    parts = cursor.split(".")
    if len(parts) != count or any(len(part) > _LONGEST_SEQ - 1 or set(part) - set(_DIGITS) for part in parts):
        raise InvalidInput("This cursor is not one of this execution's; start again without it.")
    return [int(part, 36) if part else 0 for part in parts]


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
