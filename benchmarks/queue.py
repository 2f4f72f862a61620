"""Dispatch latency (commit → handler start) and no-op throughput, beside peers in the same run.

python -m benchmarks.queue
"""

import asyncio
import random
import sys
from collections import defaultdict

from benchmarks.common import ROUNDS, Stamps, broker, folder, median, percentile, postgres, process, table, verdict
from benchmarks.systems import System, systems
from tests.brokers import RabbitServer, RedisServer

LATENCY_JOBS = 200
THROUGHPUT_JOBS = 3000
SUBMITTERS = 8


async def dispatch(system: System, stamps: Stamps) -> list[float]:
    """Milliseconds from commit to handler start, one job at a time on an idle worker, with pauses of 5 to 25 ms."""
    async with system.opened():
        target, *arguments = system.worker()
        with process(target, *arguments):
            await system.submit(stamps.address, -1)
            await stamps.collect(1)
            took = []
            for number in range(LATENCY_JOBS):
                collected = asyncio.create_task(stamps.collect(1))
                committed = await system.submit(stamps.address, number)
                took.append(((await collected)[number] - committed) * 1000)
                await asyncio.sleep(random.uniform(0.005, 0.025))
            return took


async def throughput(system: System, stamps: Stamps) -> float:
    """No-op jobs a second, from a backlog that was there when the worker started."""
    async with system.opened():
        numbers = iter(range(THROUGHPUT_JOBS))

        async def submitter() -> None:
            for number in numbers:
                await system.submit(stamps.address, number)

        await asyncio.gather(*(submitter() for _ in range(SUBMITTERS)))
        target, *arguments = system.worker()
        with process(target, *arguments):
            started = sorted((await stamps.collect(THROUGHPUT_JOBS)).values())
        return (THROUGHPUT_JOBS - 1) / (started[-1] - started[0])


async def main() -> bool:
    """Runs every system in turn, several rounds, and prints medians and ratios."""
    waits: dict[str, list[float]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)
    with folder() as path, broker(RedisServer, path) as redis_url, broker(RabbitServer, path) as rabbit_url:
        async with postgres(path) as urls:
            for turn in range(ROUNDS):
                for system in systems(path, urls, redis_url, rabbit_url):
                    print(f"round {turn + 1} of {ROUNDS}: {system.name}", file=sys.stderr, flush=True)
                    waits[system.name] += await dispatch(system, Stamps(path))
                    rates[system.name].append(await throughput(system, Stamps(path)))
    raw_wait, raw_rate = median(waits["raw loop"]), median(rates["raw loop"])
    table(
        f"Dispatch: commit → handler start, ms ({LATENCY_JOBS * ROUNDS} jobs each)",
        ["system", "median", "p95", "median / raw loop"],
        [[name, median(took), percentile(took, 0.95), median(took) / raw_wait] for name, took in waits.items()],
    )
    table(
        f"Throughput: no-op jobs/s, one worker process ({THROUGHPUT_JOBS} jobs, median of {ROUNDS})",
        ["system", "jobs/s", "of raw loop"],
        [[name, round(median(rate)), median(rate) / raw_rate] for name, rate in rates.items()],
    )
    print()
    met = [
        verdict("dispatch median / raw loop", median(waits["yeoul"]) / raw_wait, 2),
        verdict("dispatch p95, ms", percentile(waits["yeoul"], 0.95), 25),
    ]
    if "celery + redis" in rates:
        ratio = median(rates["yeoul"]) / median(rates["celery + redis"])
        met.append(verdict("throughput / celery + redis", ratio, 1, at_most=False))
    return all(met)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
