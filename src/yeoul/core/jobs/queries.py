"""The queue's SQL, named. The rest of it, what the database does by itself, is in the migrations."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from yeoul.core.base import json

FLUSH = """
WITH e AS (
    SELECT * FROM unnest(%(job_ids)s::uuid[], %(epochs)s::int[], %(seqs)s::bigint[], %(types)s::text[],
                         %(datas)s::text[]) t(job_id, epoch, seq, type, data)
), s AS (
    SELECT * FROM unnest(%(step_jobs)s::uuid[], %(step_epochs)s::int[], %(step_roots)s::uuid[], %(step_names)s::text[],
                         %(step_outputs)s::text[], %(step_ends)s::bigint[])
        t(job_id, epoch, root_id, name, output, seq_end)
), held AS MATERIALIZED (
    SELECT j.id, j.epoch, j.owner_id FROM jobs j
    JOIN (SELECT DISTINCT job_id, epoch FROM e) d ON d.job_id = j.id AND d.epoch = j.epoch
    WHERE j.status = 'running' ORDER BY j.id FOR SHARE OF j
), events_written AS (
    INSERT INTO events (stream_id, seq, type, data)
    SELECT e.job_id, e.seq, e.type, e.data::json FROM e JOIN held h ON h.id = e.job_id AND h.epoch = e.epoch
    ON CONFLICT (stream_id, seq) DO NOTHING
), steps_written AS (
    INSERT INTO steps (root_id, name, job_id, owner_id, output, seq_end)
    SELECT s.root_id, s.name, s.job_id, h.owner_id, s.output::jsonb, s.seq_end
    FROM s JOIN held h ON h.id = s.job_id AND h.epoch = s.epoch
    ON CONFLICT (root_id, name) DO NOTHING
), progress_written AS (
    UPDATE jobs j SET progress = p.data::jsonb
    FROM (SELECT DISTINCT ON (job_id, epoch) job_id, epoch, data FROM e WHERE type = 'progress'
          ORDER BY job_id, epoch, seq DESC) p
    JOIN held h ON h.id = p.job_id AND h.epoch = p.epoch
    WHERE j.id = p.job_id
)
SELECT id, epoch FROM held
"""
"""Writes what running attempts have said, fenced: of a job whose epoch has moved on, nothing.

Returns job and epoch of those held. Epochs are compared at every join: a worker that lost a job and claimed it again
speaks for both in one flush.
`FOR SHARE`, since `FOR KEY SHARE` would let a takeover pass. A flush repeated after a connection broke at commit writes
nothing twice: an epoch has one writer, and its seqs are its own.
"""

FINISH = """
WITH f AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(epochs)s::int[], %(statuses)s::text[], %(outputs)s::text[],
                         %(errors)s::text[], %(delays)s::float8[], %(given_back)s::int[])
        t(id, epoch, status, output, error, delay, given_back)
), held AS MATERIALIZED (
    SELECT j.id, CASE WHEN j.cancel_requested THEN 'canceled' ELSE f.status END AS status,
           f.output, f.error, f.delay, f.given_back
    FROM jobs j JOIN f ON f.id = j.id AND f.epoch = j.epoch
    WHERE j.status = 'running' ORDER BY j.id FOR UPDATE OF j
)
UPDATE jobs j SET
    status = h.status,
    worker_id = NULL,
    output = CASE WHEN h.status = 'succeeded' THEN h.output::jsonb END,
    error = CASE WHEN h.status IN ('failed', 'queued') THEN h.error::jsonb END,
    attempt = CASE WHEN h.status = 'queued' THEN j.attempt - h.given_back ELSE j.attempt END,
    run_at = CASE WHEN h.status = 'queued' THEN now() + make_interval(secs => h.delay) ELSE j.run_at END,
    fair_at = CASE WHEN h.status = 'queued' AND h.delay > 0 THEN NULL ELSE j.fair_at END,
    finished_at = CASE WHEN h.status <> 'queued' THEN clock_timestamp() END
FROM held h WHERE h.id = j.id
RETURNING j.id, j.epoch, j.status, (SELECT s.id FROM streams s WHERE s.topic = 'user:' || j.owner_id)
"""
"""Ends attempts, fenced: to a terminal status, or back to the queue after `delay` seconds.

Returns id, epoch, status and the owner's stream. A cancel that reached the row first wins. One statement, so that
streams and jobs are locked in one order everywhere.
"""

HEARTBEAT = """
WITH beat AS (
    INSERT INTO workers (id, host, pid, born, concurrency, kinds, running, expires_at)
    VALUES (%(id)s, %(host)s, %(pid)s, %(born)s, %(concurrency)s, %(kinds)s, %(running)s,
            now() + make_interval(secs => %(lease)s))
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), expires_at = excluded.expires_at, running = excluded.running
)
SELECT id, epoch, cancel_requested FROM jobs WHERE worker_id = %(id)s AND status = 'running'
"""
"""Registers a worker or renews its lease, and returns the jobs it holds."""

LEAVE = "DELETE FROM workers WHERE id = %s"
"""A worker that ends well says so."""

HOLDS = "SELECT EXISTS (SELECT FROM jobs WHERE id = %s AND epoch = %s AND status = 'running')"
"""Whether an attempt still holds its job."""

SWEEP_LOST = """
WITH lost AS MATERIALIZED (
    SELECT j.id,
           CASE WHEN j.cancel_requested THEN 'canceled'
                WHEN j.attempt >= j.max_attempts THEN 'failed'
                ELSE 'queued' END AS status
    FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id
    WHERE j.status = 'running' AND (w.id IS NULL OR w.expires_at < now())
        AND (%(workers)s::uuid[] IS NULL OR j.worker_id = ANY (%(workers)s::uuid[]))
    ORDER BY j.id LIMIT 500 FOR UPDATE OF j SKIP LOCKED
)
UPDATE jobs j SET
    status = l.status,
    worker_id = NULL,
    error = CASE WHEN l.status <> 'canceled' THEN %(error)s::jsonb END,
    run_at = CASE WHEN l.status = 'queued' THEN now() ELSE j.run_at END,
    finished_at = CASE WHEN l.status <> 'queued' THEN clock_timestamp() END
FROM lost l WHERE l.id = j.id
RETURNING j.id, (SELECT s.id FROM streams s WHERE s.topic = 'user:' || j.owner_id), j.kind, j.status
"""
"""Takes jobs from workers whose lease has run out, of all or of the named ones. They keep their place in the queue."""

SERVER_UP_FOR = "SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8"
"""Seconds since PostgreSQL started: leases mean nothing until workers have had the time to renew them."""

EXPIRE_WORKERS = "UPDATE workers SET expires_at = now() - interval '1 second' WHERE id = ANY (%s)"
"""Ends the leases of workers known to be dead."""

WORKERS_OF_HOST = "SELECT id, pid, born FROM workers WHERE host = %s AND expires_at > now()"
"""Workers of this host whose leases still run."""

FORGET_WORKERS = """
DELETE FROM workers w WHERE w.expires_at < now() - interval '10 minutes'
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.worker_id = w.id AND j.status = 'running')
"""
"""Forgets workers that have been gone for a while."""

READY_DUE = "SELECT ready_due_jobs(500)"
"""Puts jobs whose `run_at` has come into the queue; returns how many."""

NEXT_DUE = """
SELECT extract(epoch FROM min(run_at) - now())::float8 FROM jobs WHERE status = 'queued' AND fair_at IS NULL
"""
"""Seconds until the next `run_at`; null when nothing waits for one."""

FORGET_FLOWS = """
WITH idle AS MATERIALIZED (
    SELECT f.priority, f.owner_id FROM queue_flow f JOIN queue_class c ON c.priority = f.priority
    WHERE f.finish <= c.vtime FOR UPDATE OF f SKIP LOCKED
)
DELETE FROM queue_flow f USING idle i WHERE f.priority = i.priority AND f.owner_id = i.owner_id
"""
"""Forgets owners without a backlog: their next job starts at the clock anyway."""

LEARN_COSTS = """
INSERT INTO kind_costs (kind, average_seconds)
SELECT k.kind, avg(extract(epoch FROM r.finished_at - r.started_at))
FROM unnest(%s::text[]) k(kind)
CROSS JOIN LATERAL (
    SELECT started_at, finished_at FROM jobs
    WHERE kind = k.kind AND status = 'succeeded' ORDER BY finished_at DESC LIMIT 50
) r
GROUP BY k.kind
ON CONFLICT (kind) DO UPDATE SET average_seconds = excluded.average_seconds, updated_at = now()
"""
"""Learns how long each kind takes from its last 50 successes."""

FORGET_KEYS = "DELETE FROM idempotency_keys WHERE expires_at < now()"
"""Forgets idempotency keys past their day."""

CLAIM = """
SELECT id, kind, owner_id, root_id, input::text, attempt, max_attempts, epoch, created_at, last_seq, owner_stream
FROM claim_jobs(%(worker)s, %(slots)s, string_to_array(%(kinds)s, ','), %(owner_share)s, %(owner_limit)s,
                %(kind_limits)s::jsonb)
"""
"""Claims ready jobs, at most ``slots``, for whom ``claim_arguments`` says; see the function."""


def claim_arguments(
    worker: UUID,
    kinds: Iterable[str],
    *,
    owner_share: float = 1,
    owner_limit: int | None = None,
    kind_limits: Mapping[str, int] | None = None,
) -> dict[str, object]:
    """What ``CLAIM`` is told beside ``slots``: texts alone, kinds between commas: a driver sends them faster."""
    return {
        "worker": str(worker), "kinds": ",".join(kinds), "owner_share": owner_share, "owner_limit": owner_limit,
        "kind_limits": json.dumps(kind_limits or {}),
    }  # fmt: skip


PLACES = "SELECT id, place, eta_seconds FROM queue_places(%s::uuid[])"
"""Where those of these jobs that are ready stand in the queue."""

STEP = "SELECT output::text FROM steps WHERE root_id = %s AND name = %s"
"""A finished step's output."""

TRACEPARENT = "SELECT traceparent FROM jobs WHERE id = %s"
"""The trace a job's attempts belong to."""
