"""The live channel of an execution: its iterations' streams as one, in the words of the playground.

::

    {"type": "started",  iteration, case, model, attempt}
    {"type": "chunk",    iteration, case, model, seq, content}
    {"type": "retrying", iteration, case, model, attempt, in_seconds, error}   what it has said is void
    {"type": "reset",    iteration, case, model}                               the same: it is told again from its start
    {"type": "complete", iteration, case, model, …result}
    {"type": "error",    iteration, case, model, …result}
    {"type": "end",      execution_id, status, completed_at}

Cursors are in ``cursors.py``.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from yeoul.core.base import json
from yeoul.core.events.merged import Merged
from yeoul.core.events.schemas import TERMINAL, Event
from yeoul.core.runtime.services import Services
from yeoul.playground import repository, statuses
from yeoul.playground.cursors import FIRST_AGE, TOLD, Cursor, decode
from yeoul.playground.schemas import ExecutionOut, ResultOut


@dataclass
class _Lane:
    job_id: UUID
    iteration: int
    case: int
    model: str
    number: int
    """Its place among the others."""


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
        self._cursor = Cursor([0] * len(lanes))
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
            unfinished = {job.id for job in (await repository.unfinished(session, ids)).values()}
            spans = await repository.spans(session, ids)
        given = decode(after, len(ids))
        self._cursor = Cursor(given)
        for lane, seq in zip(self._lanes, given, strict=True):
            base, last = spans.get(lane.job_id, (0, 0))
            if lane.job_id not in unfinished and (last in {0, seq} or (seq == TOLD and last < FIRST_AGE)):
                if last == 0 and seq != TOLD:  # its events are past their time
                    self._told.append(lane)
                continue
            begin = seq
            if seq > last or (seq < base and seq != 0):  # of the time that a restore undid
                self._reset.append(lane)
                begin = 0
                self._cursor.move(lane.number, begin)
            self._cursors.append((lane.job_id, begin))
        self.over = after is not None and not self._cursors and not self._told

    async def _translated(self, events: list[Event]) -> list[Message]:
        results = await self._results([self._by_job[event.stream_id] for event in events if event.type in TERMINAL])
        messages = []
        for event in events:
            lane = self._by_job[event.stream_id]
            if event.seq is not None:
                ended = event.type in TERMINAL and event.seq < FIRST_AGE
                self._cursor.move(lane.number, TOLD if ended else event.seq)
            if event.type in TERMINAL:
                messages.append(self._result(lane, results))
            elif (said := _said(event)) is not None:
                messages.append(self._message(lane, *said))
        return messages

    async def _ended(self, lanes: list[_Lane]) -> list[Message]:
        results = await self._results(lanes)
        messages = []
        for lane in lanes:
            self._cursor.move(lane.number, TOLD)
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
        which = {"iteration": lane.iteration, "case": lane.case, "model": lane.model}
        return Message(str(self._cursor), kind, {"type": kind, **which, **data})

    async def _end(self) -> Message:
        async with self._services.database.as_user(self._user_id) as session:
            found = await repository.execution(session, self.execution_id)
            shown = None if found is None else ExecutionOut.model_validate(found).model_dump(mode="json")
        status = {name: None if shown is None else shown[name] for name in ("status", "completed_at")}
        data = {"type": "end", "execution_id": str(self.execution_id), **status}
        return Message(str(self._cursor), "end", data)


async def follow(services: Services, user_id: UUID, either: UUID, after: str | None) -> Live:
    """A reader of an execution (or a prompt's latest), from its start or after a cursor. Raises ``PromptNotFound``."""
    async with services.database.as_user(user_id) as session:
        found = await statuses.execution(session, either)
    lanes = [_Lane(*lane, number=number) for number, lane in enumerate(statuses.lanes(found))]
    live = Live(services, user_id, found.id, lanes)
    await live.open(after)
    return live


def _said(event: Event) -> tuple[str, dict[str, Any]] | None:
    if event.type == "text":
        return "chunk", {"seq": event.seq, "content": json.loads(event.data)["delta"]}
    if event.type == "started":
        return "started", json.loads(event.data)
    if event.type == "retrying":
        told = json.loads(event.data)
        if told["void_after"]:  # the answer stands, and is judged again
            return None
        return "retrying", {name: told[name] for name in ("attempt", "in_seconds", "error")}
    if event.type == "reset":
        return "reset", {}
    return None
