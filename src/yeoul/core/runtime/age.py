"""What a restore begins: an age in which nothing from the lost time between backup and restore can be mistaken for now.

Between the backup and the restore the installation lived on: clients read events that are no longer there, workers held
epochs, sessions were ended. All that is made to miss:

- Streams that can grow again (of jobs that had not ended, and shared ones) go on after a seq that no client can hold:
  the seconds since 1970, times 2^20. A cursor of the lost time lies before it, and is told to ``reset``. Every open job
  says ``restored``. Streams of jobs that had ended are the same in both times, and stay as they are.
- Epochs rise to the seconds since 2020: a worker of the lost time holds none of them.
- Running jobs go back to the queue as from a worker that gave them back: it costs them no attempt.
- Every session ends: one that was ended in the lost time, because it was stolen say, must not come back to life.
"""

import json
from datetime import datetime

from yeoul.core.db.copying import Sync
from yeoul.core.events.schemas import AGE_BITS
from yeoul.core.jobs import queries

_BATCH = 500

RESTORED = json.dumps(
    {"code": "restored", "message": "The installation was restored from a backup; the job runs again."}
)

_BASE = f"""
SELECT greatest(
    extract(epoch FROM clock_timestamp())::bigint,
    (SELECT coalesce(max(last_seq), 0) >> {AGE_BITS} FROM streams) + 1,
    (SELECT coalesce(max(e.seq), 0) >> {AGE_BITS} FROM jobs j JOIN events e ON e.stream_id = j.id
     WHERE j.status IN ('queued', 'running')) + 1) << {AGE_BITS}
"""  # noqa: S608  (a number of ours)

_FORGET = """
WITH gone AS (DELETE FROM workers), attempts AS (DELETE FROM login_attempts)
UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL
"""

_SHARED_EVENTS = "DELETE FROM events e USING streams s WHERE e.stream_id = s.id"
_SHARED = "UPDATE streams SET first_seq = %(base)s + 1, last_seq = %(base)s"

_OPEN = """
WITH open AS MATERIALIZED (
    SELECT j.id, min(e.seq) AS first FROM jobs j JOIN events e ON e.stream_id = j.id
    WHERE j.status IN ('queued', 'running') GROUP BY j.id
), steps_moved AS (
    UPDATE steps s SET seq_end = s.seq_end - o.first + 1 + %(base)s FROM open o WHERE s.job_id = o.id
)
UPDATE events e SET seq = e.seq - o.first + 1 + %(base)s FROM open o WHERE e.stream_id = o.id
"""

_SAY = """
INSERT INTO events (stream_id, seq, type, data)
SELECT j.id, coalesce((SELECT max(e.seq) FROM events e WHERE e.stream_id = j.id), %(base)s) + 1,
       'restored', json_build_object('backup_at', %(at)s::text)
FROM jobs j WHERE j.status IN ('queued', 'running')
"""

_RUNNING = "SELECT id, epoch FROM jobs WHERE status = 'running' ORDER BY id LIMIT %(batch)s"

_EPOCHS = """
UPDATE jobs SET epoch = greatest(epoch + 1, extract(epoch FROM now() - timestamptz '2020-01-01Z')::integer)
WHERE status IN ('queued', 'running')
"""


def begin(connection: Sync, backup_at: datetime) -> None:
    """Begins an age, in the caller's transaction, as ``yeoul_owner`` or whoever else may write every row."""
    row = connection.execute(_BASE.encode()).fetchone()
    assert row is not None  # noqa: S101  (one row, always)
    given = {"base": row[0], "at": backup_at.isoformat(), "batch": _BATCH}
    connection.execute(_FORGET)
    for statement in (_SHARED_EVENTS, _SHARED, _OPEN, _SAY):
        connection.execute(statement, given)
    while running := connection.execute(_RUNNING, given).fetchall():
        connection.execute(queries.FINISH, _given_back(running))
    connection.execute(_EPOCHS)


def _given_back(running: list[tuple[object, ...]]) -> dict[str, object]:
    return {
        "ids": [job_id for job_id, _ in running],
        "epochs": [epoch for _, epoch in running],
        "statuses": ["queued"] * len(running),
        "outputs": [None] * len(running),
        "errors": [RESTORED] * len(running),
        "delays": [0.0] * len(running),
        "given_back": [1] * len(running),
    }
