"""A seeded storm: faults at random over a fleet under load, then calm, then what must hold."""

import asyncio
import fcntl
import random
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.core.runtime.helpers import until
from tests.faults.checks import Found, check, leaks
from tests.faults.fleet import Fleet, Slot
from tests.faults.load import Load

SAID = ("started", "text", "text", "text", "step", "retrying", "usage")
"""What a worker's killer waits for: the moment is one of the code's own."""
SLOW_SECONDS = 8.0
"""A job that waits longer for its next attempt has its story told."""
HEARD_SECONDS = 2.0
"""How long it waits, before it takes any moment."""
JOBS_PER_KILL = 2
"""How many jobs are to have ended for each kill, before the next."""
PACE_SECONDS = 5.0
"""How long the next kill waits for that."""
CALM_SECONDS = 180
"""How long jobs may take to end once nothing is broken any more."""


@dataclass
class Storm:
    """The course of one run. ``kills``: how many; ``rate``: faults a second."""

    fleet: Fleet
    load: Load
    seed: int
    kills: int
    rate: float
    lease: float
    say: Callable[[str], None] = lambda _: None
    killed: list[tuple[float, str]] = field(default_factory=list)
    """When a worker was killed -9, and a job it was running."""
    delays: list[float] = field(default_factory=list)
    """Seconds from each kill -9 of a worker until each job it ran was started again."""
    seconds: float = 0
    postgres_kills: list[float] = field(default_factory=list)
    _postgres_at: float = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    async def run(self) -> Found:
        """Everything: start, storm, calm, checks."""
        await self.fleet.start()
        began = time.monotonic()
        loading = asyncio.create_task(self.load.run())
        try:
            await self.until_a_job_speaks(loading)
            await self._blow(loading)
            self.say("calm: waiting for every job to end")
            await self.fleet.whole()
            self.load.finish()
            async with asyncio.timeout(CALM_SECONDS):
                await loading
        except TimeoutError as error:
            raise AssertionError("jobs do not end:\n" + await self._unfinished()) from error
        finally:
            loading.cancel()
        self.seconds = time.monotonic() - began
        return await self.finish(Found())

    async def finish(self, found: Found) -> Found:
        """Checks everything, and adds it up."""
        await check(self.fleet, self.load.jobs, found)
        found.wrong += await leaks(self.fleet)
        found.wrong += self.fleet.died_by_themselves()
        self.delays = await self._reruns()
        return found

    async def until_a_job_speaks(self, loading: asyncio.Task[None]) -> None:
        heard = asyncio.create_task(self.load.signals.next("text", 60))
        await asyncio.wait({heard, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
        assert heard.result(), "no job says anything"

    async def _blow(self, loading: asyncio.Task[None]) -> None:
        under_way: set[asyncio.Task[Any]] = set()
        told = 0
        while self.fleet.kills < self.kills:
            if loading.done():
                loading.result()
            await self._keep_pace()
            fault = asyncio.create_task(self._fault())
            under_way.add(fault)
            await asyncio.sleep(self._rng.expovariate(self.rate))
            for task in [task for task in under_way if task.done()]:
                under_way.discard(task)
                task.result()
            self.fleet.look()
            if self.fleet.kills // 10 > told:
                told = self.fleet.kills // 10
                self.say(f"{self.fleet.kills}/{self.kills} kills, {len(self.load.jobs)} jobs submitted")
        await asyncio.gather(*under_way)

    async def _keep_pace(self) -> None:
        """Has jobs end between the kills, however slow the machine is: what never runs cannot go wrong."""
        with suppress(TimeoutError):
            await until(lambda: self.load.ended >= self.fleet.kills * JOBS_PER_KILL, seconds=PACE_SECONDS)

    async def _fault(self) -> None:
        rng = self._rng
        faults: list[tuple[int, Callable[[], Awaitable[bool]]]] = [
            (52, lambda: self._kill_some_worker(signal.SIGKILL)),
            (12, lambda: self._now(self.fleet.kill(rng.choice(self.fleet.apis), rng))),
            (6, lambda: self._now(self.fleet.kill_broker(rng))),
            (9, lambda: self._now(self.fleet.kill_model(rng))),
            (3, self._kill_postgres),
            (2, self._kill_backend),
            (5, lambda: self.fleet.drop_connections(rng.choice((0.2, 1)))),
            (3, lambda: self.fleet.pause(rng.choice(self.fleet.workers), self.lease * rng.uniform(1.2, 2))),
            (5, lambda: self._kill_some_worker(signal.SIGTERM)),
            (3, lambda: self._now(self.fleet.kill(rng.choice(self.fleet.apis), rng, signal.SIGTERM))),
            (2, lambda: self._now(self.fleet.kill_broker(rng, signal.SIGTERM))),
            (2, lambda: self._now(self.fleet.kill_model(rng, signal.SIGTERM))),
            (1, lambda: self._kill_postgres(signal.SIGINT)),
        ]
        await rng.choices([fault for _, fault in faults], [weight for weight, _ in faults])[0]()

    async def _now(self, done: bool) -> bool:
        return done

    async def _kill_some_worker(self, number: signal.Signals) -> bool:
        """At the moment some job says something: the worker that runs this job."""
        job_id = await self.load.signals.next(self._rng.choice(SAID), HEARD_SECONDS)
        slot = await self.fleet.worker_of(job_id) if job_id else None
        return await self.kill_worker(number, slot or self._rng.choice(self.fleet.workers))

    async def kill_worker(self, number: signal.Signals, slot: Slot, *, for_good: bool = False) -> bool:
        """Ends a worker, and remembers which jobs it was running."""
        pid = slot.process.pid if slot.process else 0
        if not self.fleet.kill(slot, self._rng, number, for_good=for_good):
            return False
        if number == signal.SIGKILL:
            at = time.time()
            rows = await self.fleet.ask(
                "SELECT j.id::text FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE w.pid = %s", pid
            )
            self.killed += [(at, row[0]) for row in rows or []]
        return True

    async def _kill_postgres(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """Not so often that leases never count: the sweeper waits for a full one after each start."""
        if time.monotonic() - self._postgres_at < 3 * self.lease + 2:
            return False
        self._postgres_at = time.monotonic()
        self.postgres_kills.append(time.time())
        return self.fleet.kill_postgres(number)

    async def _kill_backend(self) -> bool:
        if time.monotonic() - self._postgres_at < 3 * self.lease + 2:
            return False
        self._postgres_at = time.monotonic()
        self.postgres_kills.append(time.time())
        return await self.fleet.kill_backend(self._rng)

    async def _reruns(self) -> list[float]:
        """Seconds from each kill -9 of a worker until each job it ran was started again."""
        starts: dict[str, list[float]] = {}
        for job_id, at in (
            await self.fleet.ask(
                "SELECT stream_id::text, extract(epoch FROM created_at)::float8 FROM events WHERE type = 'started'"
            )
            or []
        ):
            starts.setdefault(job_id, []).append(at)
        found = []
        for killed_at, job_id in self.killed:
            after = [at for at in starts.get(job_id, []) if at > killed_at]
            if after:  # else it was canceled, or out of attempts
                found.append(min(after) - killed_at)
                if found[-1] > SLOW_SECONDS:
                    self.say(f"{found[-1]:.1f} s until job {job_id} ran again: {await self._story(job_id, killed_at)}")
        return found

    async def _story(self, job_id: str, since: float) -> str:
        rows = await self.fleet.ask(
            "SELECT type, data::text, extract(epoch FROM created_at)::float8 - %s FROM events"
            " WHERE stream_id = %s AND type <> 'text' ORDER BY seq", since, job_id,
        )  # fmt: skip
        said = [f"{at:+.1f} {kind} {data[:60]}" for kind, data, at in rows or []]
        return "; ".join([*said, *(f"{at - since:+.1f} PostgreSQL killed" for at in self.postgres_kills)])

    async def _unfinished(self) -> str:
        rows = await self.fleet.ask(
            "SELECT j.id::text, j.kind, j.status, j.attempt, j.epoch, j.fair_at, j.run_at - now(), w.pid,"
            " w.expires_at - now() FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id"
            " WHERE status IN ('queued', 'running')"
        )
        lines = ["the database does not answer"] if rows is None else [str(row) for row in rows]
        for slot in self.fleet.slots:
            assert slot.process is not None
            lines += [f"--- {slot.name} {slot.process.pid} lives={slot.lives}", *slot.process.log[-15:]]
        return "\n".join(lines)


async def settle(storm: Storm) -> None:
    """Waits until every job of a killed worker runs again, or has ended."""

    async def settled() -> bool:
        rows = await storm.fleet.ask(
            "SELECT j.id FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id WHERE j.id = ANY (%s::uuid[])"
            " AND (j.status = 'queued' OR j.status = 'running' AND coalesce(w.pid <> ALL (%s), true))",
            [job_id for _, job_id in storm.killed],
            [slot.process.pid for slot in storm.fleet.workers if slot.process and slot.lives],
        )
        return rows == []

    await until(settled, seconds=60)


async def outage(fleet: Fleet, load: Load, seconds: float) -> float:
    """PostgreSQL away for so long, and nobody may start it. Returns the seconds from its return to a job's end."""
    alive = [slot for slot in fleet.slots if slot.lives and not slot.busy]
    with (fleet.system.data_dir / "postgres.start.lock").open("wb") as nobody_starts_it:
        await asyncio.to_thread(fcntl.flock, nobody_starts_it, fcntl.LOCK_EX)
        assert fleet.kill_postgres()
        await asyncio.sleep(seconds)
    back = time.time()
    await until(lambda: load.ended_at > back, seconds=60)
    for slot in alive:
        assert slot.process is not None
        assert slot.lives, f"{slot.name} did not survive the outage:\n" + "".join(slot.process.log[-40:])
    return load.ended_at - back


def middle(values: list[float]) -> float:
    """The median; 0 of nothing."""
    return statistics.median(values) if values else 0
