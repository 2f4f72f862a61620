"""What must hold whatever happened: read from the database, and from what clients were sent."""

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.faults.fleet import POOL_SIZE, Fleet
from tests.faults.load import TERMINAL, Asked, void

Event = tuple[int, str, str]

_JOBS = """
SELECT id::text, kind, status, output::text, attempt, epoch, cancel_requested FROM jobs
WHERE kind NOT LIKE 'maintenance.%%'
"""
_EVENTS = (
    "SELECT stream_id::text, seq, type, data::text FROM events WHERE stream_id IN (SELECT id FROM jobs) ORDER BY 1, 2"
)
_TOLD = """
SELECT data->>'id', count(*) FROM events e JOIN streams s ON s.id = e.stream_id
WHERE e.type = 'job' AND data->>'status' IN ('succeeded', 'failed', 'canceled') GROUP BY 1
"""
_CONNECTIONS = """
SELECT application_name, count(*)::int FROM pg_stat_activity
WHERE application_name LIKE 'yeoul%%' AND backend_type = 'client backend' GROUP BY 1
"""


@dataclass
class Found:
    """The counts of a run. ``wrong``: each thing that must not be, in words."""

    jobs: int = 0
    attempts: int = 0
    claims: int = 0
    events: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    double_finishes: int = 0
    gaps: int = 0
    broken_texts: int = 0
    uncancelled: int = 0
    wrong: list[str] = field(default_factory=list)


async def check(fleet: Fleet, asked: list[Asked], found: Found) -> None:
    """Everything about the jobs, once all clients have seen theirs end."""
    rows = {row[0]: row for row in await _rows(fleet, _JOBS)}  # without the installation's own maintenance
    logs: dict[str, list[Event]] = defaultdict(list)
    for stream_id, seq, kind, data in await _rows(fleet, _EVENTS):
        logs[stream_id].append((seq, kind, data))
    told = dict(await _rows(fleet, _TOLD))
    found.jobs += len(rows)
    found.events += sum(map(len, logs.values()))
    known = {job.id: job for job in asked}
    if len(known) != len(asked) or set(known) != set(rows):
        found.lost += len(set(known) - set(rows))
        found.wrong.append(f"{len(asked)} jobs were submitted, {len(set(known))} ids answered, {len(rows)} are there")
    for job_id, (_, kind, status, output, attempt, epoch, cancel) in rows.items():
        found.attempts += attempt
        found.claims += epoch
        found.statuses[status] += 1
        if status not in TERMINAL:
            found.lost += 1
            found.wrong.append(f"job {job_id} ({kind}) is {status}")
            continue
        _stream(found, job_id, status, output, logs[job_id])
        if told.get(job_id, 0) > 1:
            found.double_finishes += 1
            found.wrong.append(f"job {job_id} was told to have ended {told[job_id]} times")
        if (job := known.get(job_id)) is not None:
            _client(found, job, status, cancel=cancel, log=logs[job_id])


def _stream(found: Found, job_id: str, status: str, output: str | None, log: list[Event]) -> None:
    if [seq for seq, _, _ in log] != list(range(1, len(log) + 1)):
        found.gaps += 1
        found.wrong.append(f"job {job_id}: its seqs are {[seq for seq, _, _ in log]}")
    ends = [kind for _, kind, _ in log if kind in TERMINAL]
    if ends != [status] or log[-1][1] != status:
        found.double_finishes += len(ends) > 1
        found.wrong.append(f"job {job_id} is {status}; its stream ends {ends}, last {log[-1:]}")
    if status == "succeeded":
        text = json.loads(output or "{}").get("text", "")
        if void(log) != text:
            found.broken_texts += 1
            found.wrong.append(f"job {job_id}: the stream says {void(log)!r}, the row {text!r}")
        done = Counter(json.loads(data)["name"] for _, kind, data in log if kind == "step" and '"finished"' in data)
        if any(count > 1 for count in done.values()):
            found.wrong.append(f"job {job_id}: steps finished twice: {done}")
    _voices(found, job_id, log)


def _voices(found: Found, job_id: str, log: list[Event]) -> None:
    """Between two starts one attempt speaks, and never one that has spoken before."""
    gone: set[str] = set()
    now: set[str] = set()
    for _, kind, data in log:
        if kind == "started":
            gone |= now
            now = set()
        elif kind == "text":
            now |= set(re.findall(r"\b([0-9a-f]{8})\.\d", json.loads(data)["delta"]))
    if gone & now:
        found.wrong.append(f"job {job_id}: an attempt that had lost it went on speaking")


def _client(found: Found, job: Asked, status: str, *, cancel: bool, log: list[Event]) -> None:
    found.gaps += len(job.wrong)
    found.wrong += [f"job {job.id}, to its client: {words}" for words in job.wrong]
    if job.followed and job.events != log:
        found.gaps += 1
        found.wrong.append(f"job {job.id}: its client was sent {job.events}, the log has {log}")
    if job.cancel_answer is not None and job.cancel_answer["status"] not in TERMINAL | {"canceled"}:
        if status != "canceled":
            found.uncancelled += 1
            found.wrong.append(f"job {job.id} was asked to cancel while it ran, and is {status}")
    elif job.cancel_answer is not None and job.cancel_answer["status"] != status:
        found.wrong.append(f"job {job.id}: the answer to cancel said {job.cancel_answer['status']}, it is {status}")
    if status == "canceled" and not cancel:
        found.wrong.append(f"job {job.id} is canceled, and nobody asked")
    if status != "canceled" and status not in job.expected:
        found.wrong.append(f"job {job.id} ({job.kind}) is {status}: {log[-1]}")


async def leaks(fleet: Fleet) -> list[str]:
    """Connections beyond what the living processes have need of."""
    processes, workers = len(fleet.slots), len(fleet.workers)
    most = {
        "yeoul app": processes * POOL_SIZE, "yeoul service": processes * POOL_SIZE, "yeoul listen": processes,
        "yeoul ring": processes, "yeoul events": processes, "yeoul claim": workers, "yeoul heartbeat": workers,
        "yeoul flush": workers, "yeoul sweep": workers,
        "yeoul places": processes, "yeoul limits": processes, "yeoul api keys": processes, "yeoul traces": workers,
    }  # fmt: skip
    return [
        f"{count} connections {name!r}, {most.get(name, 0)} at most"
        for name, count in await _rows(fleet, _CONNECTIONS)
        if count > most.get(name, 0)
    ]


async def _rows(fleet: Fleet, statement: str) -> list[tuple[Any, ...]]:
    rows = await fleet.ask(statement)
    assert rows is not None, "the database does not answer"
    return rows
