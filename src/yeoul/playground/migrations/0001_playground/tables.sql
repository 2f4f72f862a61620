-- One version of a family; it never changes. The family is called by the id of its first version, which may be gone.
CREATE TABLE playground_prompts (
    id              uuid PRIMARY KEY,
    owner_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    family_id       uuid NOT NULL,
    version         integer NOT NULL CHECK (version >= 1),
    name            text,
    system_prompt   text,
    user_prompt     text NOT NULL,
    parameters      jsonb NOT NULL DEFAULT '{}',
    response_schema jsonb,
    variables       text[] NOT NULL DEFAULT '{}',    -- of the two texts, in the order they are first named
    images          jsonb NOT NULL DEFAULT '[]',     -- [{media_type, bytes, sha256}]: what they are, not their data
    selected_model  text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner_id, family_id, version)
);
CREATE INDEX playground_prompts_owner ON playground_prompts (owner_id, id DESC);

-- Their data is already compressed.
CREATE TABLE playground_images (
    prompt_id uuid NOT NULL REFERENCES playground_prompts ON DELETE CASCADE,
    number    integer NOT NULL CHECK (number BETWEEN 1 AND 4),
    owner_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    data      bytea NOT NULL,
    PRIMARY KEY (prompt_id, number)
);
ALTER TABLE playground_images ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX playground_images_owner_id ON playground_images (owner_id);

-- A name that moves from one version of a family to another, such as `production`.
CREATE TABLE playground_labels (
    owner_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    family_id  uuid NOT NULL,
    label      text NOT NULL,
    prompt_id  uuid NOT NULL REFERENCES playground_prompts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, family_id, label)
);
CREATE INDEX playground_labels_prompt_id ON playground_labels (prompt_id);

-- A prompt that whoever has the id may read, with its results. The id is random, not made of a time.
CREATE TABLE playground_shares (
    id         uuid PRIMARY KEY,
    owner_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    prompt_id  uuid NOT NULL UNIQUE REFERENCES playground_prompts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX playground_shares_owner_id ON playground_shares (owner_id);

-- An execution is the sum of its iterations: one job for each iteration, case and model.
CREATE TABLE playground_executions (
    id               uuid PRIMARY KEY,
    owner_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    prompt_id        uuid NOT NULL REFERENCES playground_prompts ON DELETE CASCADE,
    iterations       integer NOT NULL CHECK (iterations BETWEEN 1 AND 50),
    models           text[] NOT NULL,           -- as they answer; never `default`
    case_count       integer NOT NULL DEFAULT 0 CHECK (case_count BETWEEN 0 AND 200),   -- 0: it has none
    checks           jsonb NOT NULL DEFAULT '[]',
    concurrency      integer CHECK (concurrency >= 1),   -- iterations at a time; null = as many as workers have room for
    timeout_seconds  integer CHECK (timeout_seconds BETWEEN 1 AND 1800),
    max_cost_usd     numeric CHECK (max_cost_usd > 0),
    stream           boolean NOT NULL,
    job_ids          uuid[] NOT NULL,           -- iteration by iteration, in each case by case, in each model by model
    status           text NOT NULL DEFAULT 'started'
                     CHECK (status IN ('started', 'running', 'completed', 'partial', 'failed', 'canceled')),
    cancel_requested boolean NOT NULL DEFAULT false,
    started_at       timestamptz,
    completed_at     timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX playground_executions_prompt_id ON playground_executions (prompt_id);
CREATE INDEX playground_executions_owner ON playground_executions (owner_id, id DESC);

-- Apart from the execution: an iteration reads one, and lists of executions none.
CREATE TABLE playground_cases (
    execution_id uuid NOT NULL REFERENCES playground_executions ON DELETE CASCADE,
    number       integer NOT NULL CHECK (number >= 1),
    owner_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    given        jsonb NOT NULL,                -- {variable: text}
    PRIMARY KEY (execution_id, number)
);
CREATE INDEX playground_cases_owner_id ON playground_cases (owner_id);

-- Outlives the job, which is forgotten after a while. The id is that of the iteration's first job.
CREATE TABLE playground_results (
    id               uuid PRIMARY KEY,
    owner_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    execution_id     uuid NOT NULL REFERENCES playground_executions ON DELETE CASCADE,
    iteration_number integer NOT NULL,
    case_number      integer NOT NULL DEFAULT 1,   -- 1 also where there are no cases
    model            text NOT NULL,
    job_id           uuid NOT NULL,             -- the job that gave it: another than the first after a retry
    response_text    text,
    tokens_used      jsonb,                     -- {input, output, total, cached}; null: the provider did not say
    cost_usd         numeric,                   -- judging included; null: unknown
    judging          jsonb,                     -- what judges took of it: {input, output, cost_usd}; null: nobody judged
    checks           jsonb NOT NULL DEFAULT '[]',   -- [{name, type, passed, detail}]
    response_time_ms integer,
    first_token_ms   integer,
    finish_reason    text,
    status           text NOT NULL CHECK (status IN ('completed', 'error')),
    error_code       text,
    error_message    text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (execution_id, iteration_number, case_number, model)
);
CREATE INDEX playground_results_owner_id ON playground_results (owner_id);
