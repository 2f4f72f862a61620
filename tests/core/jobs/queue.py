"""The queue without a worker: its SQL as a worker and a client send it, one statement at a time."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row, tuple_row

from yeoul.core.base.ids import new_id
from yeoul.core.jobs import queries
from yeoul.core.runtime.services import DatabaseUrls

KIND = "test.echo"
ERROR = json.dumps({"code": "test", "message": "no"})

Connection = psycopg.Connection[DictRow]


@dataclass(frozen=True)
class Claimed:
    """What a claim returns of a job, as far as tests look at it."""

    id: UUID
    owner_id: UUID
    epoch: int
    attempt: int
    last_seq: int


class Queue:
    """One connection per login, each statement its own transaction."""

    def __init__(self, urls: DatabaseUrls) -> None:
        options = "-c search_path=yeoul"
        self.app: Connection = psycopg.connect(urls.app, autocommit=True, options=options, row_factory=dict_row)
        self.service: Connection = psycopg.connect(urls.service, autocommit=True, options=options, row_factory=dict_row)

    def close(self) -> None:
        self.app.close()
        self.service.close()

    def user(self) -> UUID:
        user_id = new_id()
        self.service.execute("INSERT INTO users (id, email) VALUES (%s, %s)", [user_id, f"{user_id}@x.test"])
        return user_id

    @contextmanager
    def scope(self, user_id: UUID) -> Generator[Connection]:
        with self.app.transaction():
            self.app.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(user_id)])
            yield self.app

    def submit(
        self,
        owner: UUID,
        *,
        kind: str = KIND,
        priority: int = 5,
        run_at: datetime | str | None = None,
        max_attempts: int = 3,
        retry_of: UUID | None = None,
        max_queued: int = 1_000_000,
    ) -> UUID | None:
        """Submits a job; null when there are too many."""
        job_id = new_id()
        with self.scope(owner) as app:
            row = app.execute(
                "SELECT id FROM submit_job(%s, %s, '{}', %s, %s::timestamptz, %s, %s, %s)",
                [job_id, kind, priority, run_at, max_attempts, retry_of, max_queued],
            ).fetchone()
        return None if row is None else job_id

    def backlog(self, owner: UUID, count: int, *, priority: int = 5, kind: str = KIND) -> list[UUID]:
        """Submits many."""
        ids = [new_id() for _ in range(count)]
        with self.scope(owner) as app:
            app.execute(
                "SELECT submit_jobs(%s, %s, %s::jsonb, %s, %s, 3, 1000000)",
                [ids, kind, json.dumps([{}] * count), priority, count],
            )
        return ids

    def worker(self, lease: float = 60, *, host: str = "elsewhere", pid: int = 1, born: str = "b") -> UUID:
        """Registers a worker whose lease runs so many seconds from now, or has run out so many ago."""
        worker_id = new_id()
        self.service.execute(
            "INSERT INTO workers (id, host, pid, born, concurrency, kinds, expires_at)"
            " VALUES (%s, %s, %s, %s, 10, '{}', now() + make_interval(secs => %s))",
            [worker_id, host, pid, born, lease],
        )
        return worker_id

    def expire(self, worker_id: UUID) -> None:
        self.service.execute("UPDATE workers SET expires_at = now() - interval '1 second' WHERE id = %s", [worker_id])

    def claim(
        self,
        worker: UUID,
        slots: int = 1,
        kinds: Sequence[str] = (KIND,),
        *,
        share: float = 1,
        owner_limit: int | None = None,
        kind_limits: Mapping[str, int] | None = None,
    ) -> list[Claimed]:
        """Claims; without limits unless they are given."""
        told = queries.claim_arguments(
            worker, kinds, owner_share=share, owner_limit=owner_limit, kind_limits=kind_limits
        )
        rows = self.service.execute(queries.CLAIM, {"slots": slots, **told}).fetchall()
        return [Claimed(row["id"], row["owner_id"], row["epoch"], row["attempt"], row["last_seq"]) for row in rows]

    def say(
        self, job: Claimed, seq: int, kind: str = "text", data: str = '{"delta":"x"}', step: str | None = None
    ) -> bool:
        """Flushes one event; whether the attempt holds its job."""
        arguments: dict[str, list[Any]] = {
            "job_ids": [job.id], "epochs": [job.epoch], "seqs": [seq], "types": [kind], "datas": [data],
            "step_jobs": [], "step_epochs": [], "step_roots": [], "step_names": [], "step_outputs": [], "step_ends": [],
        }  # fmt: skip
        if step is not None:
            arguments |= {
                "step_jobs": [job.id], "step_epochs": [job.epoch], "step_roots": [job.id], "step_names": [step],
                "step_outputs": ["1"], "step_ends": [seq],
            }  # fmt: skip
        return bool(self.service.execute(queries.FLUSH, arguments).fetchall())

    def finish(
        self, job: Claimed, status: str = "succeeded", *, delay: float = 0, given_back: bool = False
    ) -> str | None:
        """Ends an attempt; null when it did not hold its job."""
        rows = self.service.execute(
            queries.FINISH,
            {
                "ids": [job.id], "epochs": [job.epoch], "statuses": [status], "outputs": ["{}"], "errors": [ERROR],
                "delays": [delay], "given_back": [int(given_back)],
            },
        ).fetchall()  # fmt: skip
        return rows[0]["status"] if rows else None

    def cancel(self, owner: UUID, job_id: UUID) -> str | None:
        with self.scope(owner) as app:
            row = app.execute("SELECT status FROM cancel_job(%s)", [job_id]).fetchone()
        return None if row is None else row["status"]

    def place(self, owner: UUID, job_id: UUID) -> tuple[int, float] | None:
        with self.scope(owner) as app:
            row = app.execute("SELECT place, eta_seconds FROM queue_place(%s)", [job_id]).fetchone()
        return None if row is None else (row["place"], row["eta_seconds"])

    def sweep(self, workers: list[UUID] | None = None) -> dict[UUID, str]:
        with self.service.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(queries.SWEEP_LOST, {"error": ERROR, "workers": workers}).fetchall()
        return {job_id: status for job_id, _, _, status in rows}

    def ready_due(self, limit: int = 500) -> int:
        row = self.service.execute("SELECT ready_due_jobs(%s) AS n", [limit]).fetchone()
        assert row is not None
        return int(row["n"])

    def job(self, job_id: UUID) -> DictRow:
        row = self.service.execute("SELECT * FROM jobs WHERE id = %s", [job_id]).fetchone()
        assert row is not None
        return row

    def events(self, stream_id: UUID) -> list[tuple[int, str, Any]]:
        """(seq, type, data) of a stream."""
        rows = self.service.execute(
            "SELECT seq, type, data FROM events WHERE stream_id = %s ORDER BY seq", [stream_id]
        ).fetchall()
        return [(row["seq"], row["type"], row["data"]) for row in rows]

    def user_events(self, owner: UUID) -> list[tuple[int, str, Any]]:
        """(seq, type, data) of a user's stream."""
        row = self.service.execute("SELECT id FROM streams WHERE topic = %s", [f"user:{owner}"]).fetchone()
        return [] if row is None else self.events(row["id"])
