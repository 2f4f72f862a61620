"""The SQL of ``statistics``, named."""

SECONDS = 3.0
"""How long figures may take: they are never worth more."""

LIMITED = "SELECT set_config('statement_timeout', '3s', true), set_config('enable_seqscan', 'off', true)"
"""Put before each: a database in trouble is not to be asked for figures by everybody who worries, and the planner is
not to read all that has ended where much waits, too."""

QUEUE = """
SELECT 'waiting' AS what, to_jsonb(w) AS found FROM (
    SELECT kind, priority, count(*) FILTER (WHERE fair_at IS NOT NULL) AS ready,
           count(*) FILTER (WHERE fair_at IS NULL) AS later,
           coalesce(greatest(extract(epoch FROM now() - min(run_at) FILTER (WHERE fair_at IS NOT NULL)), 0), 0)::float8
               AS oldest
    FROM yeoul.jobs WHERE status = 'queued' AND owner_id <> :system
    GROUP BY kind, priority ORDER BY kind, priority DESC LIMIT 500
) w
UNION ALL
SELECT 'running', to_jsonb(r) FROM (
    SELECT kind, count(*) AS running FROM yeoul.jobs WHERE status = 'running' AND owner_id <> :system
    GROUP BY kind ORDER BY kind LIMIT 500
) r
UNION ALL
SELECT 'worker', to_jsonb(w) FROM (
    SELECT id, split_part(host, '/', 1) AS host, pid, concurrency, running, kinds, started_at,
           extract(epoch FROM now() - heartbeat_at)::float8 AS silent, expires_at > now() AS alive
    FROM yeoul.workers ORDER BY expires_at > now() DESC, started_at LIMIT 200
) w
"""
"""The queue by kind and priority, what runs by kind, and the workers. Reads each waiting and running job once, through
the partial indexes of those: what has ended costs nothing. Maintenance, whose owner is `system`, is left out."""

LAST_HOUR = """
WITH ended AS MATERIALIZED (
    SELECT b.bucket, j.kind, j.status, j.sampled,
           greatest(extract(epoch FROM j.started_at - j.run_at), 0)::float8 AS start,
           extract(epoch FROM j.finished_at - j.started_at)::float8 AS run
    FROM generate_series(0, cast(:buckets AS integer) - 1) b(bucket)
    CROSS JOIN LATERAL (
        SELECT kind, status, started_at, run_at, finished_at, count(*) OVER () AS sampled FROM (
            SELECT * FROM yeoul.jobs
            WHERE finished_at > now() - make_interval(secs => (b.bucket + 1) * :seconds)
                AND finished_at <= now() - make_interval(secs => b.bucket * :seconds) AND owner_id <> :system
            ORDER BY finished_at DESC LIMIT :sample
        ) newest
    ) j
)
SELECT bucket, kind, count(*) AS jobs, count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'canceled') AS canceled, max(sampled) AS most,
       percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY start) FILTER (WHERE start IS NOT NULL) AS start,
       percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY run) FILTER (WHERE run IS NOT NULL) AS run
FROM ended GROUP BY GROUPING SETS ((), (bucket), (kind))
"""
"""What ended in each slice of the last hour, of each the newest `sample`: a row for all, one a slice, one a kind."""
