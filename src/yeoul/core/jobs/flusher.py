"""Group flush: everything all running attempts have said, written together, fenced by their epochs.

One flush is under way at a time; the next gathers meanwhile, for 20 ms at least. Ends of attempts do not wait for the
window. While the database is away nothing is lost: the batch is tried again until it lands or the lease is gone. What
the database refuses is one attempt's fault and costs that attempt alone.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString, NoReturn
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from yeoul.core.base import json
from yeoul.core.base.faultpoints import reach
from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import Database, Row, is_away
from yeoul.core.db.listen import STREAMS_GREW, Ringer
from yeoul.core.jobs import queries
from yeoul.core.jobs.attempt import HIGH_WATER, Attempt, Fence, Outcome, StepResult
from yeoul.core.jobs.errors import LostLease

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 0.02

EVENTS_WRITTEN = Counter("yeoul_events_written", "Events written to job streams.")
FLUSH_SECONDS = Histogram(
    "yeoul_event_flush_seconds", "Duration of one group flush.", buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2)
)

GIVEN_BACK = Outcome(
    "queued",
    error=json.dumps({"code": "worker_stopping", "message": "The worker let go of this job; another goes on."}),
    given_back=True,
)
UNSTORABLE = Outcome(
    "failed",
    error=json.dumps({"code": "internal", "message": "The database refused what the job said. The log says why."}),
)

Batch = dict[Attempt, list[tuple[int, str, str, StepResult | None]]]
Ends = dict[Attempt, tuple[Outcome, asyncio.Future[str | None]]]


class Flusher:
    """Writes events, steps and ends of a worker process's attempts."""

    def __init__(self, database: Database, ringer: Ringer) -> None:
        self._line = database.line("flush")
        self._ringer = ringer
        self._dirty: dict[Attempt, None] = {}
        self._ends: Ends = {}
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        """Starts flushing."""
        self._task = asyncio.create_task(self._run(), name="flusher")

    async def stop(self) -> None:
        """Stops; attempts must have ended before."""
        await cancel(self._task)
        await self._line.close()

    async def said(self, attempt: Attempt) -> None:
        """Has what an attempt said written soon; waits only when it has too much unwritten."""
        self._dirty[attempt] = None
        self._wake.set()
        if attempt.unwritten > HIGH_WATER:
            await self.settle(attempt)

    async def settle(self, attempt: Attempt) -> None:
        """Waits until everything the attempt has said is in the log; raises ``LostLease`` if it never will be."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        attempt.waiting.append(done)
        self._dirty[attempt] = None
        self._wake.set()
        self._urgent.set()
        await done

    async def finish(self, attempt: Attempt, outcome: Outcome) -> str | None:
        """Ends the attempt after all it has said. Returns the job's status, or null when the lease was lost."""
        done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._ends[attempt] = (outcome, done)
        self._wake.set()
        self._urgent.set()
        return await done

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        last = 0.0
        while True:
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(last + WINDOW_SECONDS):
                    await self._urgent.wait()
            last = loop.time()
            self._wake.clear()
            self._urgent.clear()
            ends, self._ends = self._ends, {}
            dirty, self._dirty = self._dirty | dict.fromkeys(ends), {}
            with FLUSH_SECONDS.time():
                await self._flush(dirty)
                await self._end(ends)

    async def step(self, root_id: UUID, name: str) -> str | None:
        """The stored output of a step, as JSON; null when it has not been finished."""
        rows = await self._until_done(queries.STEP, [root_id, name])
        return rows[0][0] if rows else None

    async def holds(self, attempt: Attempt) -> bool:
        """Whether the attempt still has its job, by the database's word."""
        return bool((await self._until_done(queries.HOLDS, attempt.fence))[0][0])

    async def give_back(self, fences: Iterable[Fence]) -> None:
        """Puts jobs back into the queue that nobody here runs; fenced, so that it may be wrong about them."""
        await self._finish(dict.fromkeys(fences, GIVEN_BACK))

    async def _flush(self, dirty: dict[Attempt, None]) -> None:
        waiting = {attempt: attempt.waiting for attempt in dirty}
        batch = {attempt: taken for attempt in dirty if (taken := attempt.take())}
        for attempt in dirty:
            attempt.waiting = []
        held = await self._write(batch) if batch else set()
        if held:
            reach("flush.written")
            self._ringer.ring(STREAMS_GREW, {job_id for job_id, _ in held})
        for attempt, futures in waiting.items():
            for done in futures:
                if done.done():
                    continue
                if attempt.stop_reason in ("lost", "broken"):
                    done.set_exception(LostLease(f"job {attempt.job_id} is no longer this worker's"))
                else:
                    done.set_result(None)

    async def _write(self, batch: Batch) -> set[Fence]:
        """Writes what attempts have said, and stops those that no longer hold their job. Returns who does."""
        try:
            rows = await self._until_done(queries.FLUSH, _flush_arguments(batch))
        except Exception:
            if len(batch) > 1:
                return set().union(*[await self._write({attempt: taken}) for attempt, taken in batch.items()])
            (attempt,) = batch
            log.exception("the database refused what an attempt said", job_id=str(attempt.job_id), kind=attempt.kind)
            attempt.stop("broken")
            return set()
        held = {(row[0], row[1]) for row in rows}
        for attempt, taken in batch.items():
            if attempt.fence in held:
                EVENTS_WRITTEN.inc(len(taken))
            else:
                attempt.stop("lost")
        return held

    async def _end(self, ends: Ends) -> None:
        if not ends:
            return
        outcomes = {attempt.fence: outcome for attempt, (outcome, _) in ends.items()}
        for attempt, (outcome, _) in ends.items():
            if outcome.status == "succeeded" and attempt.stop_reason == "broken":  # by its last words
                outcomes[attempt.fence] = UNSTORABLE
        statuses = await self._finish(outcomes)
        for attempt, (_, done) in ends.items():
            if not done.done():
                done.set_result(statuses.get(attempt.fence))

    async def _finish(self, outcomes: dict[Fence, Outcome]) -> dict[Fence, str]:
        """Ends attempts. Returns the status of each job that was held; it is ``failed`` when its output is refused."""
        try:
            rows = await self._until_done(queries.FINISH, _finish_arguments(outcomes))
        except Exception:
            if len(outcomes) > 1:
                statuses: dict[Fence, str] = {}
                for fence, outcome in outcomes.items():
                    statuses |= await self._finish({fence: outcome})
                return statuses
            ((fence, outcome),) = outcomes.items()
            log.exception("the database refused the end of an attempt", job_id=str(fence[0]), status=outcome.status)
            return {} if outcome is UNSTORABLE else await self._finish({fence: UNSTORABLE})
        if rows:
            reach("job.ended")
            self._ringer.ring(STREAMS_GREW, [stream for row in rows for stream in (row[0], row[3])])
        return {(row[0], row[1]): row[2] for row in rows}

    async def _until_done(self, query: LiteralString, arguments: Sequence[object] | Mapping[str, object]) -> list[Row]:
        """Executes until the database has answered; raises when it refuses."""
        delay = 0.05
        while True:
            try:
                return await self._line.fetch(query, arguments)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("could not write, trying again", error=str(error).strip())
                await asyncio.sleep(delay)
                delay = min(delay * 2, 1)


def _flush_arguments(batch: Batch) -> dict[str, object]:
    said = [(attempt, *event) for attempt, taken in batch.items() for event in taken]
    steps = [(attempt, seq, step) for attempt, seq, _, _, step in said if step is not None]
    return {
        "job_ids": [attempt.job_id for attempt, *_ in said],
        "epochs": [attempt.epoch for attempt, *_ in said],
        "seqs": [seq for _, seq, *_ in said],
        "types": [kind for _, _, kind, _, _ in said],
        "datas": [data for _, _, _, data, _ in said],
        "step_jobs": [attempt.job_id for attempt, _, _ in steps],
        "step_epochs": [attempt.epoch for attempt, _, _ in steps],
        "step_roots": [attempt.root_id for attempt, _, _ in steps],
        "step_names": [step.name for _, _, step in steps],
        "step_outputs": [step.output for _, _, step in steps],
        "step_ends": [seq for _, seq, _ in steps],
    }


def _finish_arguments(outcomes: dict[Fence, Outcome]) -> dict[str, object]:
    return {
        "ids": [job_id for job_id, _ in outcomes],
        "epochs": [epoch for _, epoch in outcomes],
        "statuses": [outcome.status for outcome in outcomes.values()],
        "outputs": [outcome.output for outcome in outcomes.values()],
        "errors": [outcome.error for outcome in outcomes.values()],
        "delays": [outcome.delay for outcome in outcomes.values()],
        "given_back": [int(outcome.given_back) for outcome in outcomes.values()],
    }
