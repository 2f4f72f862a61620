"""Jobs in traces: who submitted one, and each attempt at it, under the names of OpenTelemetry's messaging conventions.

The trace travels in the job's row. A worker reads it there only while traces are on, so that a claim carries nothing
for those who keep none.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager

import psycopg
import structlog

from yeoul.core.base.errors import YeoulError
from yeoul.core.db.database import Database
from yeoul.core.jobs import queries
from yeoul.core.jobs.attempt import Attempt
from yeoul.core.jobs.errors import LostLease
from yeoul.core.jobs.repository import NewJob, NewJobs
from yeoul.core.telemetry import tracing

READ_SECONDS = 1.0
"""How long an attempt waits for the trace it belongs to, before it goes on in one of its own."""

log = structlog.get_logger(__name__)


def submit(job: NewJob, link: str | None) -> AbstractContextManager[tracing.Span]:
    """The span of a job's submit; ``link`` is the trace of the job it repeats."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    attributes = _of(str(job.id), job.kind, "submit", "send") | {"yeoul.job.priority": job.priority}
    if job.retry_of is not None:
        attributes["yeoul.job.retry_of"] = str(job.retry_of)
    return tracing.current(f"submit {job.kind}", "producer", attributes, link=link)


def submit_many(jobs: NewJobs) -> AbstractContextManager[tracing.Span]:
    """The span of several jobs' submit; it names the first, and says how many they are."""
    if not tracing.is_on() or not jobs.ids:
        return tracing.NO_SPAN
    attributes = _of(str(jobs.ids[0]), jobs.kind, "submit", "send") | {
        "yeoul.job.priority": jobs.priority,
        "messaging.batch.message_count": len(jobs.ids),
    }
    return tracing.current(f"submit {jobs.kind}", "producer", attributes)


class AttemptTraces:
    """The spans of a worker's attempts."""

    def __init__(self, database: Database) -> None:
        self._line = database.line("traces")

    async def close(self) -> None:
        """Closes its connection."""
        await self._line.close()

    @asynccontextmanager
    async def attempt(self, attempt: Attempt) -> AsyncGenerator[None]:
        """The span of one attempt, in the trace of its job's submit: all of a job's attempts share it."""
        if not tracing.is_on():
            yield
            return
        attributes = _of(str(attempt.job_id), attempt.kind, "process", "process") | {
            "yeoul.job.attempt": attempt.attempt,
            "yeoul.job.max_attempts": attempt.max_attempts,
            "yeoul.job.epoch": attempt.epoch,
        }
        parent = await self._traceparent(attempt)
        with tracing.current(f"process {attempt.kind}", "consumer", attributes, parent=parent) as span:
            structlog.contextvars.bind_contextvars(trace_id=tracing.trace_id())
            try:
                yield
            except asyncio.CancelledError:
                span.fail(attempt.stop_reason or "cancelled")
                raise
            except LostLease:
                span.fail("lost")
                raise
            except YeoulError as error:
                span.fail(error.code)
                raise
            except Exception as error:
                span.fail(type(error).__name__)
                raise

    async def _traceparent(self, attempt: Attempt) -> str | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                rows = await self._line.fetch(queries.TRACEPARENT, [attempt.job_id])
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.debug("the trace of this job cannot be read", error=str(error).strip())
            return None
        return rows[0][0] if rows else None


def _of(job_id: str, kind: str, operation: str, operation_type: str) -> dict[str, tracing.Value]:
    return {
        "messaging.system": "yeoul",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation_type,
        "messaging.destination.name": kind,
        "messaging.message.id": job_id,
    }
