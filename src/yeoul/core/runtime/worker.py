"""The worker: claims jobs, runs their handlers, renews its lease, and ends without losing anything."""

import asyncio
import contextlib
import os
from typing import Any, NoReturn
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Gauge, Histogram

from yeoul.core.base import json
from yeoul.core.base.faultpoints import reach
from yeoul.core.base.ids import new_id
from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import patiently
from yeoul.core.db.listen import JOBS_CANCELED, STREAMS_GREW
from yeoul.core.jobs import queries
from yeoul.core.jobs.attempt import ENDED, Attempt
from yeoul.core.jobs.errors import LostLease
from yeoul.core.jobs.flusher import Flusher
from yeoul.core.jobs.hosts import born, this_host
from yeoul.core.jobs.sweeper import Sweeper
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.outcomes import outcome_of
from yeoul.core.runtime.services import Services
from yeoul.core.runtime.traced import AttemptTraces

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""How often a worker looks without a ring."""
CLAIM_BATCH = 50
UNWIND_SECONDS = 5.0
"""How long a handler may take to end once it is cancelled."""
LEAVE_SECONDS = 5.0
"""How long a worker tries to say goodbye to a database that does not answer."""

RUNNING = Gauge("yeoul_worker_jobs_running", "Jobs this process is running.")
RUN_SECONDS = Histogram(
    "yeoul_worker_attempt_seconds", "Duration of attempts.", ["kind"], buckets=(0.01, 0.1, 1, 5, 15, 60, 300, 1800)
)


class Worker:
    """Runs jobs, ``concurrency`` at a time: of every kind it knows, or of the setting's ``worker_kinds`` alone.

    Raises ``UnknownKind`` when one of those is none.
    """

    def __init__(self, services: Services, *, concurrency: int | None = None) -> None:
        self.id = new_id()
        self._services = services
        self._settings = services.settings
        self._concurrency = concurrency or services.settings.worker_concurrency
        self._kinds = sorted({services.kinds.get(name).name for name in self._settings.worker_kinds})
        if self._kinds:
            self._kinds = sorted({*self._kinds, *(kind.name for kind in services.kinds if kind.everywhere)})
        self._kinds = self._kinds or services.kinds.names()
        self._claim_arguments = queries.claim_arguments(
            self.id,
            self._kinds,
            owner_share=services.settings.user_share,
            owner_limit=services.settings.max_running_per_user,
            kind_limits=services.settings.max_running_per_kind,
        )
        self._flusher = Flusher(services.database, services.ringer)
        self._sweeper = Sweeper(
            services.database, services.listen, services.ringer, services.doorbell,
            lease=services.settings.lease_seconds,
        )  # fmt: skip
        self._claims = services.database.line("claim")
        self._beats = services.database.line("heartbeat")
        self._traced = AttemptTraces(services.database)
        self._running: dict[UUID, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._hurry = asyncio.Event()
        self._last_beat = 0.0
        self._claiming = False
        self._loops: list[asyncio.Task[NoReturn]] = []
        services.doorbell.on_ring(self._look.set)
        services.listen.on(JOBS_CANCELED, self._asked_to_cancel)

    async def start(self) -> None:
        """Registers and begins to claim."""
        await patiently(self._heartbeat)
        await self._flusher.start()
        await self._sweeper.start()
        self._look.set()
        self._loops = [
            asyncio.create_task(self._claim_forever(), name="claim"),
            asyncio.create_task(self._beat_forever(), name="heartbeat"),
        ]
        log.info("worker started", worker=str(self.id), concurrency=self._concurrency, kinds=self._kinds)

    async def stop(self) -> None:
        """Drains: claims nothing more, gives running jobs time to end, gives back those that do not, and leaves."""
        claim, beat = self._loops
        await cancel(claim)
        reach("drain.begun")
        await self._sweeper.stop()
        if self._tasks:
            log.info("waiting for running jobs", jobs=len(self._tasks), seconds=self._settings.drain_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_seconds):
                    await self._hurry_or(self._tasks)
        for attempt in list(self._running.values()):
            attempt.stop("drain")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=UNWIND_SECONDS * 2)
        await cancel(beat)
        with contextlib.suppress(psycopg.Error, OSError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._flusher.give_back([(job_id, epoch) for job_id, epoch, _ in await self._beat()])
                await self._beats.fetch(queries.LEAVE, [self.id])
        await self._flusher.stop()
        await self._beats.close()
        await self._claims.close()
        await self._traced.close()
        self._services.doorbell.ring()
        log.info("worker stopped", worker=str(self.id))

    def hurry(self) -> None:
        """Has ``stop`` give running jobs back at once."""
        self._hurry.set()

    async def _hurry_or(self, tasks: set[asyncio.Task[None]]) -> None:
        hurry = asyncio.create_task(self._hurry.wait())
        everyone = asyncio.create_task(asyncio.wait(tasks))  # cancelling this one cancels none of them
        try:
            await asyncio.wait({hurry, everyone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            everyone.cancel()

    # Claiming

    async def _claim_forever(self) -> NoReturn:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look.wait()
            self._look.clear()
            try:
                while (free := self._concurrency - len(self._tasks)) > 0:
                    asked = min(free, CLAIM_BATCH)
                    if await self._claim(asked) < asked:
                        break
            except (psycopg.Error, OSError) as error:
                log.warning("could not claim, trying again", error=str(error).strip())
                await asyncio.sleep(POLL_SECONDS / 2)
            except Exception:
                log.exception("could not claim, trying again")
                await asyncio.sleep(POLL_SECONDS / 2)

    async def _claim(self, slots: int) -> int:
        self._claiming = True
        try:
            rows = await self._claims.fetch(queries.CLAIM, {"slots": slots, **self._claim_arguments})
        finally:
            self._claiming = False
        attempts = [
            Attempt(
                job_id=job_id, kind=kind, owner_id=owner_id, root_id=root_id, input=given, attempt=attempt,
                max_attempts=max_attempts, epoch=epoch, last_seq=last_seq, owner_stream=owner_stream,
            )
            for job_id, kind, owner_id, root_id, given, attempt, max_attempts, epoch, _, last_seq, owner_stream in rows
        ]  # fmt: skip
        for attempt in attempts:
            if (before := self._running.get(attempt.job_id)) is not None:
                before.stop("lost")  # to ourselves: the lease ran out, and we were the first to ask again
            self._running[attempt.job_id] = attempt
            RUNNING.inc()
            call = asyncio.create_task(self._call(attempt), name=f"handler of job {attempt.job_id}")
            task = asyncio.create_task(self._run(attempt, call), name=f"job {attempt.job_id}")
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if attempts:
            self._services.ringer.ring(STREAMS_GREW, [s for a in attempts for s in (a.job_id, a.owner_stream)])
        return len(attempts)

    def _ended(self, task: asyncio.Task[None]) -> None:
        RUNNING.dec()
        self._tasks.discard(task)
        self._look.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an attempt was not ended; its job goes back to the queue", task=task.get_name(), exc_info=error)

    # Running

    async def _run(self, attempt: Attempt, call: asyncio.Task[str]) -> None:
        _log_context(attempt)
        kind = self._services.kinds.get(attempt.kind)
        started = asyncio.get_running_loop().time()
        timer = asyncio.get_running_loop().call_later(kind.timeout, attempt.stop, "timeout")
        try:
            futures: set[asyncio.Future[Any]] = {call, attempt.stopped}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if attempt.stop_reason == "cancel":
                reach("cancel.heard")
            if not call.done():
                call.cancel()
                await asyncio.wait({call}, timeout=UNWIND_SECONDS)
            outcome = outcome_of(kind, attempt, call)
            status = None
            reach("job.ending")
            if outcome is not None:
                status = await self._flusher.finish(attempt, outcome)
                if outcome.status == "queued" and outcome.delay:
                    self._sweeper.due_in(outcome.delay)
                elif outcome.status == "queued":
                    self._services.doorbell.ring()
            if status is None:  # and whoever took the job has counted this attempt
                log.warning("lost the lease; another worker has the job")
            else:
                ENDED.labels(attempt.kind, status).inc()
            RUN_SECONDS.labels(attempt.kind).observe(asyncio.get_running_loop().time() - started)
        finally:
            timer.cancel()
            if self._running.get(attempt.job_id) is attempt:
                del self._running[attempt.job_id]

    async def _call(self, attempt: Attempt) -> str:
        """The handler's output as JSON: what cannot be said in JSON is the handler's failure."""
        _log_context(attempt)
        reach("job.claimed")
        kind = self._services.kinds.get(attempt.kind)
        ctx = Context(attempt, self._flusher, self._services, self._check_lease)
        try:
            async with self._traced.attempt(attempt):
                result = await kind.handler(ctx, kind.parse(json.loads(attempt.input)))
        except SystemExit as error:  # some library's sys.exit(): it would end the whole process
            raise RuntimeError(f"a handler of kind {kind.name} tried to exit") from error
        output = json.dumps({} if result is None else result)
        if not output.startswith("{"):
            raise TypeError(f"the output of kind {kind.name} is no JSON object: {output[:100]}")
        return output

    # The lease

    async def _beat_forever(self) -> NoReturn:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_seconds / 4):
                    await self._beat_now.wait()
            self._beat_now.clear()
            try:
                async with asyncio.timeout(self._settings.lease_seconds):
                    await self._heartbeat()
            except (psycopg.Error, OSError) as error:
                log.warning("could not renew the lease, trying again", error=str(error).strip())
                await asyncio.sleep(0.2)
            except Exception:
                log.exception("could not renew the lease, trying again")
                await asyncio.sleep(0.2)

    async def _beat(self) -> list[tuple[UUID, int, bool]]:
        """Renews the lease. Returns the jobs that the database says are ours: id, epoch, whether to be canceled."""
        began = asyncio.get_running_loop().time()
        lapsed = began - self._last_beat > self._settings.lease_seconds
        rows = await self._beats.fetch(
            queries.HEARTBEAT,
            {
                "id": self.id, "host": this_host(), "pid": os.getpid(), "born": born(os.getpid()),
                "concurrency": self._concurrency, "kinds": self._kinds, "running": len(self._tasks),
                "lease": self._settings.lease_seconds,
            },
        )  # fmt: skip
        self._last_beat = began
        if lapsed:
            self._look.set()  # nothing could be claimed meanwhile
        return [(job_id, epoch, cancel) for job_id, epoch, cancel in rows]

    async def _heartbeat(self) -> None:
        before = dict(self._running)  # what is claimed meanwhile may be missing from the answer
        held = {job_id: (epoch, cancel) for job_id, epoch, cancel in await self._beat()}
        for job_id, attempt in before.items():
            epoch, cancel = held.get(job_id, (None, False))
            if epoch != attempt.epoch and self._running.get(job_id) is attempt:
                attempt.stop("lost")
            elif cancel:
                attempt.stop("cancel")
        # What is ours and nobody runs was claimed by an answer that never came. (One that is on its way is not lost.)
        stray = [(job_id, epoch) for job_id, (epoch, _) in held.items() if job_id not in before | self._running]
        if stray and not self._claiming:
            log.warning("giving back jobs that nobody here runs", jobs=[str(job_id) for job_id, _ in stray])
            await self._flusher.give_back(stray)
            self._services.doorbell.ring()

    async def _check_lease(self, attempt: Attempt) -> None:
        """Asks the database, however long it takes, when the job may have been given away since the last heartbeat."""
        silent = asyncio.get_running_loop().time() - self._last_beat
        if silent > self._settings.lease_seconds / 2 and not await self._flusher.holds(attempt):
            attempt.stop("lost")
        if attempt.stop_reason == "lost":
            raise LostLease(f"job {attempt.job_id} is no longer this worker's")

    def _asked_to_cancel(self, ids: list[UUID]) -> None:
        if not ids:  # just (re)connected: anything may have been asked meanwhile
            self._beat_now.set()
        for job_id in ids:
            if attempt := self._running.get(job_id):
                attempt.stop("cancel")


def _log_context(attempt: Attempt) -> None:
    """Has every log line of the present task name its job."""
    structlog.contextvars.bind_contextvars(job_id=str(attempt.job_id), kind=attempt.kind, attempt=attempt.attempt)
