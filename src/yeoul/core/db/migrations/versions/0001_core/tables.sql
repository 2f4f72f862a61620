-- Accounts ------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL UNIQUE CHECK (email = lower(email)),
    name          text,
    password_hash text,
    role          text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz,
    queue_weight  double precision NOT NULL DEFAULT 1 CHECK (queue_weight BETWEEN 0.01 AND 100)  -- of the fair share
);

-- A session is one family of refresh tokens; only hashes are kept.
CREATE TABLE sessions (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    refresh_hash  bytea NOT NULL,
    previous_hash bytea,
    rotated_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    user_agent    text
);
CREATE INDEX sessions_user_id ON sessions (user_id);

-- Who an outside provider says somebody is. Issuer and subject together name one person for ever; the email is what the
-- provider said when the identity was linked, and is not followed afterwards.
CREATE TABLE identities (
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    issuer         text NOT NULL,
    subject        text NOT NULL,
    email          text CHECK (email = lower(email)),
    email_verified boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    last_used_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject)
);
CREATE INDEX identities_user_id ON identities (user_id);

-- Keys of programs. The secret is random, so its sha256 is as good as any slow hash; the prefix finds the row.
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name         text NOT NULL,
    prefix       text NOT NULL UNIQUE,
    secret_hash  bytea NOT NULL,
    scopes       text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write'] AND cardinality(scopes) > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,          -- to the minute: not every request writes
    expires_at   timestamptz
);
CREATE INDEX api_keys_user_id ON api_keys (user_id);

CREATE TABLE login_attempts (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_attempts_subject_at ON login_attempts (subject, at);
CREATE INDEX login_attempts_at ON login_attempts (at);

-- What users entrust to the installation, such as their keys of model providers: sealed, see core/vault.
CREATE TABLE secrets (
    owner_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name         text NOT NULL,
    sealed       bytea NOT NULL,
    hint         text NOT NULL,           -- its last characters; nothing else is ever shown
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    PRIMARY KEY (owner_id, name)
);

-- Jobs ----------------------------------------------------------------------------------------------------------------

-- The lease lives here, so that heartbeats never touch job rows.
CREATE TABLE workers (
    id           uuid PRIMARY KEY,
    host         text NOT NULL,          -- where its pid means something: host name, boot, pid namespace
    pid          integer NOT NULL,
    born         text NOT NULL,          -- when its process began, by that host's own reckoning: pids are reused
    concurrency  integer NOT NULL,
    kinds        text[] NOT NULL,
    running      integer NOT NULL DEFAULT 0,
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);

CREATE TABLE jobs (
    id               uuid PRIMARY KEY,
    owner_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind             text NOT NULL,
    status           text NOT NULL DEFAULT 'queued'
                     CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    priority         smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
    input            jsonb NOT NULL,
    output           jsonb,
    error            jsonb,               -- of the last attempt; null once succeeded
    progress         jsonb,
    attempt          integer NOT NULL DEFAULT 0,   -- the budget users see
    max_attempts     integer NOT NULL CHECK (max_attempts >= 1),
    epoch            integer NOT NULL DEFAULT 0,   -- rises at every claim and never falls: the fence of every write
    worker_id        uuid,
    cancel_requested boolean NOT NULL DEFAULT false,
    fair_at          double precision,             -- start tag of fair queueing; null = not ready
    retry_of         uuid REFERENCES jobs ON DELETE SET NULL,
    root_id          uuid NOT NULL,                -- first of a chain of retries: steps are kept under it
    traceparent      text,                         -- the trace its attempts belong to (W3C); null = none
    created_at       timestamptz NOT NULL DEFAULT now(),
    run_at           timestamptz DEFAULT now(),  -- null: held, until whoever submitted it readies it
    started_at       timestamptz,
    finished_at      timestamptz,
    CHECK ((status IN ('succeeded', 'failed', 'canceled')) = (finished_at IS NOT NULL)),
    CHECK ((status = 'running') = (worker_id IS NOT NULL))
);
CREATE INDEX jobs_ready      ON jobs (priority DESC, fair_at, id) WHERE status = 'queued' AND fair_at IS NOT NULL;
CREATE INDEX jobs_ready_kind ON jobs (kind, priority DESC, fair_at, id) WHERE status = 'queued' AND fair_at IS NOT NULL;
CREATE INDEX jobs_ready_owner ON jobs (owner_id, priority DESC, fair_at, id)
    WHERE status = 'queued' AND fair_at IS NOT NULL;
CREATE INDEX jobs_ready_age  ON jobs (kind, run_at) WHERE status = 'queued' AND fair_at IS NOT NULL;
CREATE INDEX jobs_due        ON jobs (run_at) WHERE status = 'queued' AND fair_at IS NULL;
CREATE INDEX jobs_running    ON jobs (worker_id) WHERE status = 'running';
CREATE INDEX jobs_running_owner ON jobs (owner_id) WHERE status = 'running';
CREATE INDEX jobs_queued     ON jobs (owner_id, id DESC) WHERE status = 'queued';
CREATE INDEX jobs_owner      ON jobs (owner_id, id DESC);
CREATE INDEX jobs_retry_of   ON jobs (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX jobs_retries    ON jobs (root_id) WHERE root_id <> id;
CREATE INDEX jobs_ended      ON jobs (finished_at DESC) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_failed     ON jobs (id DESC) WHERE status = 'failed';
CREATE INDEX jobs_failed_own ON jobs (owner_id, id DESC) WHERE status = 'failed';
CREATE INDEX jobs_kind_finished ON jobs (kind, finished_at DESC) WHERE status = 'succeeded';

-- Start-time fair queueing: a virtual clock per priority, and where each owner's backlog ends on it.
CREATE TABLE queue_class (
    priority smallint PRIMARY KEY,
    vtime    double precision NOT NULL DEFAULT 0
);
INSERT INTO queue_class (priority) SELECT generate_series(0, 9);

CREATE TABLE queue_flow (
    priority smallint NOT NULL,
    owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    finish   double precision NOT NULL,
    PRIMARY KEY (priority, owner_id)
);

-- How long a kind usually takes: the cost of one job in fair queueing, and the base of eta_seconds.
CREATE TABLE kind_costs (
    kind            text PRIMARY KEY,
    average_seconds double precision NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- A step's result is stored once and reused by later attempts and by retries of the same root.
CREATE TABLE steps (
    root_id    uuid NOT NULL,
    name       text NOT NULL,
    job_id     uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    owner_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    output     jsonb,
    seq_end    bigint NOT NULL,           -- text of the job up to here stays valid when a later attempt begins
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (root_id, name)
);
CREATE INDEX steps_job_id ON steps (job_id);

-- Ids of what an Idempotency-Key made, never the answer itself.
CREATE TABLE idempotency_keys (
    owner_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    method     text NOT NULL,
    path       text NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    job_id     uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (owner_id, method, path, key)
);
CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);

-- Streams -------------------------------------------------------------------------------------------------------------

-- Shared streams (a user's, later a room's). A job's stream has no row here: its id is the job's.
CREATE TABLE streams (
    id         uuid PRIMARY KEY,
    owner_id   uuid REFERENCES users ON DELETE CASCADE,
    topic      text NOT NULL UNIQUE,      -- 'user:<id>'
    first_seq  bigint NOT NULL DEFAULT 1, -- lower ones have been pruned
    last_seq   bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX streams_owner_id ON streams (owner_id);

-- The event log. `json`, not `jsonb`: what was written is what every reader gets, to the byte, without being parsed.
-- Partitioned by the day inside the uuid7; shared streams (first digit f) have a partition that is pruned by row.
CREATE TABLE events (
    stream_id  uuid NOT NULL,
    seq        bigint NOT NULL,
    type       text NOT NULL,
    data       json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream_id, seq)
) PARTITION BY RANGE (stream_id);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE events_shared PARTITION OF events
    FOR VALUES FROM ('f0000000-0000-0000-0000-000000000000') TO (MAXVALUE);
