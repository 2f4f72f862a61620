"""One row of every table, all of them one user's."""

from uuid import UUID

import psycopg

from yeoul.core.base.ids import new_id

# How to find the user's row; of tables that are nobody's, all rows.
ROWS = {
    "users": "id = %(user)s",
    "sessions": "user_id = %(user)s",
    "identities": "user_id = %(user)s",
    "api_keys": "user_id = %(user)s",
    "secrets": "owner_id = %(user)s",
    "jobs": "owner_id = %(user)s",
    "queue_flow": "owner_id = %(user)s",
    "steps": "owner_id = %(user)s",
    "idempotency_keys": "owner_id = %(user)s",
    "streams": "owner_id = %(user)s",
    "events": "true",
    "playground_prompts": "owner_id = %(user)s",
    "playground_images": "owner_id = %(user)s",
    "playground_labels": "owner_id = %(user)s",
    "playground_shares": "owner_id = %(user)s",
    "playground_executions": "owner_id = %(user)s",
    "playground_cases": "owner_id = %(user)s",
    "playground_results": "owner_id = %(user)s",
    "schedules": "owner_id = %(user)s",
    "schedule_runs": "owner_id = %(user)s",
    "login_attempts": "true",
    "workers": "true",
    "queue_class": "priority = 5",
    "kind_costs": "true",
    "model_meters": "true",
    "model_uses": "true",
    "model_waits": "owner_id = %(user)s",
}

# A job writes its own event and its user's stream, too.
STATEMENTS = """
INSERT INTO yeoul.users (id, email) VALUES (%(user)s, %(email)s), (%(other)s, 'o' || %(email)s);
INSERT INTO yeoul.sessions (id, user_id, refresh_hash, expires_at)
VALUES (%(id)s, %(user)s, '', now() + interval '1 day');
INSERT INTO yeoul.identities (id, user_id, issuer, subject) VALUES (%(id)s, %(user)s, 'i', %(email)s);
INSERT INTO yeoul.secrets (owner_id, name, sealed, hint) VALUES (%(user)s, 'openai', '', '');
INSERT INTO yeoul.api_keys (id, user_id, name, prefix, secret_hash, scopes)
VALUES (%(id)s, %(user)s, 'n', %(email)s, '', '{read}');
INSERT INTO yeoul.login_attempts (subject) VALUES ('ip:::1');
INSERT INTO yeoul.workers (id, host, pid, born, concurrency, kinds, expires_at)
VALUES (%(id)s, 'h', 1, 'b', 1, '{}', now() + interval '1 day');
INSERT INTO yeoul.queue_flow VALUES (5, %(user)s, 1);
INSERT INTO yeoul.kind_costs (kind, average_seconds) VALUES ('test.echo', 1);
INSERT INTO yeoul.model_meters (scope) VALUES ('fake/echo');
INSERT INTO yeoul.model_uses VALUES ('fake/echo', now(), 1, 1);
INSERT INTO yeoul.model_waits VALUES ('fake/echo', %(job)s, %(user)s, 4, 0, now(), now(), 1);
INSERT INTO yeoul.jobs (id, owner_id, kind, input, max_attempts, root_id)
VALUES (%(job)s, %(user)s, 'test.echo', '{}', 1, %(job)s);
INSERT INTO yeoul.steps (root_id, name, job_id, owner_id, seq_end) VALUES (%(job)s, 'one', %(job)s, %(user)s, 1);
INSERT INTO yeoul.idempotency_keys
VALUES (%(user)s, 'POST', '/api/jobs', 'k', '', %(job)s, now() + interval '1 day');
INSERT INTO yeoul.schedules
  (id, owner_id, name, kind, input, priority, every_seconds, time_zone, missed, overlap, enabled)
VALUES (%(id)s, %(user)s, 'n', 'test.echo', '{}', 5, 60, 'UTC', 'once', 'skip', true);
INSERT INTO yeoul.playground_prompts (id, owner_id, family_id, version, user_prompt, selected_model)
VALUES (%(id)s, %(user)s, %(id)s, 1, 'p', 'fake/echo');
INSERT INTO yeoul.playground_images VALUES (%(id)s, 1, %(user)s, '');
INSERT INTO yeoul.playground_labels VALUES (%(user)s, %(id)s, 'production', %(id)s);
INSERT INTO yeoul.playground_shares VALUES (%(id)s, %(user)s, %(id)s);
INSERT INTO yeoul.playground_executions (id, owner_id, prompt_id, iterations, models, stream, job_ids)
VALUES (%(id)s, %(user)s, %(id)s, 1, '{fake/echo}', true, ARRAY[%(job)s::uuid]);
INSERT INTO yeoul.playground_cases VALUES (%(id)s, 1, %(user)s, '{}');
INSERT INTO yeoul.playground_results (id, owner_id, execution_id, iteration_number, model, job_id, status)
VALUES (%(job)s, %(user)s, %(id)s, 1, 'fake/echo', %(job)s, 'completed');
INSERT INTO yeoul.schedule_runs VALUES (%(id)s, now(), %(user)s, %(job)s)
"""


def seed(service_url: str) -> tuple[UUID, UUID]:
    """Inserts them; returns their user, and another who has nothing."""
    user, other, job = new_id(), new_id(), new_id()
    values = {"user": user, "other": other, "job": job, "id": new_id(), "email": f"{user}@x.test"}
    with psycopg.connect(service_url) as connection:
        for statement in STATEMENTS.split(";"):
            connection.execute(statement.encode(), values)
    return user, other
