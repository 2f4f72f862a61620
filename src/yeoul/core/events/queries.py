"""The event log's SQL, named."""

READ = """
SELECT w.n, e.seq, e.type, e.data
FROM unnest(%(ids)s::uuid[], %(afters)s::bigint[]) WITH ORDINALITY w(id, after, n)
CROSS JOIN LATERAL (
    SELECT seq, type, data, sum(length(data)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS chars
    FROM (SELECT seq, type, data::text AS data FROM events WHERE stream_id = w.id AND seq > w.after
          ORDER BY seq LIMIT %(limit)s) page
) e
WHERE e.chars - length(e.data) < %(chars)s
ORDER BY w.n, e.seq
"""
"""What comes after each of many cursors, in one query: at most `limit` events a cursor, of about `chars` characters."""

READ_TIMED = """
SELECT w.n, e.seq, e.type, e.data, extract(epoch FROM clock_timestamp() - e.created_at)::float8
FROM unnest(%(ids)s::uuid[], %(afters)s::bigint[]) WITH ORDINALITY w(id, after, n)
CROSS JOIN LATERAL (
    SELECT seq, type, data, created_at, sum(length(data)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS chars
    FROM (SELECT seq, type, data::text AS data, created_at FROM events WHERE stream_id = w.id AND seq > w.after
          ORDER BY seq LIMIT %(limit)s) page
) e
WHERE e.chars - length(e.data) < %(chars)s
ORDER BY w.n, e.seq
"""
"""The same, and how old each event is, in seconds of the database's clock since the transaction that wrote it began."""

SPAN = """
SELECT coalesce(min(seq), 1) - 1 AS base, coalesce(max(seq), 0) AS last FROM yeoul.events WHERE stream_id = :stream_id
"""
"""What a job's stream begins after, which is 0 unless a restore began an age; and its last seq."""

USER_STREAM = "SELECT id, first_seq, last_seq FROM yeoul.streams WHERE topic = :topic"
"""A shared stream by its topic."""

OPEN_USER_STREAM = """
INSERT INTO yeoul.streams (id, owner_id, topic) VALUES (:id, :owner_id, :topic) ON CONFLICT (topic) DO NOTHING
"""
"""Makes a shared stream before its first event, so that it can be followed."""

PRUNE_SHARED = """
WITH moved AS (
    UPDATE streams SET first_seq = last_seq - %(keep)s + 1 WHERE last_seq - first_seq >= %(keep)s * 2
    RETURNING id, first_seq
)
DELETE FROM events e USING moved m WHERE e.stream_id = m.id AND e.seq < m.first_seq
"""
"""Forgets all but the newest `keep` events of shared streams that hold more than twice as many."""

ENSURE_PARTITIONS = "SELECT ensure_event_partitions(2)"
"""Makes the log's partitions of today and the next two days."""
