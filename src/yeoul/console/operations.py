"""What the Operations page shows, worked out of the installation's statistics."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from yeoul.console.figures import Bar, bars
from yeoul.core.jobs.statistics import BUCKET_SECONDS, BUCKETS, SAMPLE, Ended, LastHour, Queue, Statistics, WorkerState


@dataclass
class KindRow:
    """One kind: what waits and runs now, and what ended in the last hour."""

    kind: str
    ready: int = 0
    later: int = 0
    running: int = 0
    oldest: float | None = None
    ended: Ended | None = None
    priorities: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Slice:
    """Five minutes of the last hour: when they began, and what ended in them."""

    began: datetime
    ended: Ended


@dataclass(frozen=True)
class Figures:
    """Everything on the page."""

    ready: int
    later: int
    running: int
    oldest: float | None
    slots: int
    alive: int
    hour: Ended
    kinds: Sequence[KindRow]
    slices: Sequence[Slice]
    workers: Sequence[WorkerState]
    ended_bars: Sequence[Bar]
    start_bars: Sequence[Bar]
    run_bars: Sequence[Bar]
    sample: int = SAMPLE


async def figures(statistics: Statistics) -> Figures:
    """The figures, a few seconds old at most."""
    return arranged(await statistics.queue.get(), await statistics.last_hour.get(), datetime.now(UTC))


def arranged(queue: Queue, hour: LastHour, now: datetime) -> Figures:
    """The figures as the page shows them."""
    kinds: dict[str, KindRow] = {}
    rows: defaultdict[str, KindRow] = defaultdict(lambda: KindRow(""))
    for waiting in queue.waiting:
        row = rows[waiting.kind]
        row.ready += waiting.ready
        row.later += waiting.later
        if waiting.ready:
            row.oldest = max(row.oldest or 0, waiting.oldest)
            row.priorities.append((waiting.priority, waiting.ready))
    for kind, running in queue.running.items():
        rows[kind].running = running
    for kind, ended in hour.kinds.items():
        rows[kind].ended = ended
    for kind in sorted(rows):
        rows[kind].kind = kind
        kinds[kind] = rows[kind]
    alive = [worker for worker in queue.workers if worker.alive]
    ages = [row.oldest for row in kinds.values() if row.oldest is not None]
    slices = [
        Slice(now - timedelta(seconds=BUCKET_SECONDS * (BUCKETS - n)), ended) for n, ended in enumerate(hour.slices)
    ]
    return Figures(
        ready=sum(row.ready for row in kinds.values()),
        later=sum(row.later for row in kinds.values()),
        running=sum(queue.running.values()),
        oldest=max(ages, default=None),
        slots=sum(worker.concurrency for worker in alive),
        alive=len(alive),
        hour=hour.whole,
        kinds=list(kinds.values()),
        slices=slices,
        workers=queue.workers,
        ended_bars=bars([(s.jobs - s.failed - s.canceled, s.canceled, s.failed) for s in hour.slices]),
        start_bars=bars([(s.start_p95,) for s in hour.slices]),
        run_bars=bars([(s.run_p95,) for s in hour.slices]),
    )
