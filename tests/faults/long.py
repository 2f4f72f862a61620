"""``make faults``: a long storm, its figures printed and written as Markdown.

``python -m tests.faults.long --kills 1000 --seed 7 --doorbell redis --report docs/faults-run.md``
"""

import argparse
import asyncio
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.checks import Found
from tests.faults.conftest import copied, path_of, prepare
from tests.faults.fleet import Fleet, Slot, closing
from tests.faults.kinds import offered
from tests.faults.load import Load
from tests.faults.nursery import Nursery
from tests.faults.storm import Storm, middle, outage, settle

RERUN_LIMIT = 15.0
DEFAULT_LEASE = 10.0
AWAY_SECONDS = 15.0
WORDS = 3
"""So many of the things that are wrong are told in the report."""
BEGIN, END = "<!-- the long run's figures: `make faults` writes them -->", "<!-- end of the figures -->"


@dataclass
class Defaults:
    """What was measured with the settings everybody has: a lease of ten seconds, workers that are not started again."""

    reruns: list[float]
    recovery: float


def main() -> int:
    """Runs it; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--doorbell", choices=("postgres", "redis", "rabbitmq"), default="redis")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--rate", type=float, default=1.5, help="faults a second, at most")
    parser.add_argument("--report", type=Path, help="a Markdown page with the marks between which the figures go")
    asked = parser.parse_args()
    found, storm, defaults = asyncio.run(_run(asked))
    wrong = list(found.wrong)
    slowest = max([*storm.delays, *defaults.reruns], default=0)
    if slowest > RERUN_LIMIT:
        wrong.append(f"a job ran again only after {slowest:.1f} s")
    text = _report(asked, found, storm, defaults, wrong)
    print(text)  # noqa: T201  (a command prints)
    for line in wrong[:50]:
        print("WRONG:", line, file=sys.stderr)  # noqa: T201  (a command prints)
    if asked.report is not None:
        _write(asked.report, text)
    return int(bool(wrong))


async def _run(asked: argparse.Namespace) -> tuple[Found, Storm, Defaults]:
    began = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {words}", flush=True)  # noqa: T201  (a command prints)

    with tempfile.TemporaryDirectory(prefix="yeoul-faults-") as temporary:
        folder = Path(temporary)
        say("making a database, and a fleet")
        nursery = Nursery(PYTHONPATH=path_of(offered(folder / "product")))
        prepared = prepare()
        try:
            with (
                copied(prepared, nursery) as system,
                closing(Fleet(system, doorbell=asked.doorbell, workers=asked.workers, lease=2)) as fleet,
            ):
                load = Load(fleet.addresses, asked.seed, users=4, each=5)
                storm = Storm(fleet, load, asked.seed, kills=asked.kills, rate=asked.rate, lease=2, say=say)
                found = await storm.run()
                say(f"{fleet.kills} kills, {found.jobs} jobs: {len(found.wrong)} things wrong")
            with (
                copied(prepared, nursery) as system,
                closing(Fleet(system, doorbell="postgres", workers=4, lease=DEFAULT_LEASE)) as fleet,
            ):
                say("with the default lease: workers that die and do not come back, then a database that stays away")
                defaults = await _defaults(fleet, asked.seed, found)
        finally:
            nursery.close()
            shutil.rmtree(prepared)
    say("done")
    return found, storm, defaults


async def _defaults(fleet: Fleet, seed: int, found: Found) -> Defaults:
    """Two workers die, each for good, some seconds apart: their jobs have to wait for the lease. Then the outage."""
    load = Load(fleet.addresses, seed, users=3, each=6)
    storm = Storm(fleet, load, seed, kills=0, rate=1, lease=DEFAULT_LEASE)
    await fleet.start()
    loading = asyncio.create_task(load.run())
    try:
        await storm.until_a_job_speaks(loading)
        for _ in range(2):  # of those on machines of their own: nobody can look whether their pid lives
            await storm.kill_worker(signal.SIGKILL, await _busy(fleet, load), for_good=True)
        await settle(storm)
        recovery = await outage(fleet, load, AWAY_SECONDS)
        load.finish()
        async with asyncio.timeout(120):
            await loading
    finally:
        loading.cancel()
    await storm.finish(found)
    return Defaults(storm.delays, recovery)


async def _busy(fleet: Fleet, load: Load) -> Slot:
    """A worker that runs a job now, and whose death leaves others for every kind of job."""
    async with asyncio.timeout(60):
        while True:
            job_id = await load.signals.next("text", 10)
            slot = await fleet.worker_of(job_id) if job_id else None
            if slot is not None and slot in fleet.workers[2:] and slot.lives and not slot.busy:
                return slot


def _report(asked: argparse.Namespace, found: Found, storm: Storm, defaults: Defaults, wrong: list[str]) -> str:
    fleet = storm.fleet
    kills = {what: count for what, count in sorted(fleet.counts.items()) if what.startswith("kill")}
    others = {what: count for what, count in sorted(fleet.counts.items()) if not what.startswith("kill")}
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    )
    rows = [
        (
            "run",
            f"seed {asked.seed}, doorbell {asked.doorbell}, 2 APIs, {len(fleet.workers)} workers, lease 2 s; {machine}",
        ),
        ("time", f"{storm.seconds / 60:.1f} minutes"),
        ("**kills (kill -9)**", f"**{fleet.kills:,}**"),
        *[(f"· {what.removeprefix('kill -9 ')}", f"{count:,}") for what, count in kills.items()],
        *[(what, f"{count:,}") for what, count in others.items()],
        ("jobs", f"{found.jobs:,}: " + ", ".join(f"{count:,} {name}" for name, count in found.statuses.most_common())),
        ("attempts, claims", f"{found.attempts:,}, {found.claims:,}"),
        ("events", f"{found.events:,}"),
        (
            "requests sent again, streams opened again",
            f"{storm.load.retries:,}, {sum(j.breaks for j in storm.load.jobs):,}",
        ),
        ("**jobs lost**", f"**{found.lost}**"),
        ("**double finishes**", f"**{found.double_finishes}**"),
        ("**stream gaps**", f"**{found.gaps}**"),
        ("texts unlike their row's output", str(found.broken_texts)),
        ("cancels not honoured", str(found.uncancelled)),
        ("**things wrong in all**", f"**{_wrong(wrong)}**"),
        ("run again after kill -9 of its worker", _delays(storm.delays)),
        ("the same, lease 10 s (the default), the worker not started again", _delays(defaults.reruns)),
        (
            f"PostgreSQL away for {AWAY_SECONDS:g} s: from its return to the next job's end",
            f"{defaults.recovery:.2f} s",
        ),
    ]
    return "\n".join(["| | |", "|---|---|", *[f"| {name} | {value} |" for name, value in rows]])


def _wrong(wrong: list[str]) -> str:
    """How many things are wrong, and the first of them."""
    if not wrong:
        return "0"
    said = "; ".join(wrong[:WORDS]).replace("|", "/").replace("\n", " ")
    return f"{len(wrong)}: {said}" + (f"; and {len(wrong) - WORDS} more" if len(wrong) > WORDS else "")


def _delays(seconds: list[float]) -> str:
    return f"p50 {middle(seconds):.2f} s, max {max(seconds, default=0):.2f} s ({len(seconds):,} jobs)"


def _write(page: Path, table: str) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
