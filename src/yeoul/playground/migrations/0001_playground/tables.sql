CREATE TABLE playground_prompts (
    id             uuid PRIMARY KEY,
    owner_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    system_prompt  text,
    user_prompt    text NOT NULL,
    parameters     jsonb NOT NULL DEFAULT '{}',
    selected_model text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX playground_prompts_owner ON playground_prompts (owner_id, id DESC);

-- An execution is the sum of its iterations: one job for each model and iteration.
CREATE TABLE playground_executions (
    id               uuid PRIMARY KEY,
    owner_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    prompt_id        uuid NOT NULL REFERENCES playground_prompts ON DELETE CASCADE,
    iterations       integer NOT NULL CHECK (iterations BETWEEN 1 AND 50),
    models           text[] NOT NULL,           -- as they answer; never `default`
    concurrency      integer CHECK (concurrency >= 1),   -- iterations at a time; null = as many as workers have room for
    stream           boolean NOT NULL,
    job_ids          uuid[] NOT NULL,           -- iteration by iteration, in each the models in their order
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

-- Outlives the job, which is forgotten after a while. The id is that of the iteration's first job.
CREATE TABLE playground_results (
    id               uuid PRIMARY KEY,
    owner_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    execution_id     uuid NOT NULL REFERENCES playground_executions ON DELETE CASCADE,
    iteration_number integer NOT NULL,
    model            text NOT NULL,
    job_id           uuid NOT NULL,             -- the job that gave it: another than the first after a retry
    response_text    text,
    tokens_used      jsonb,                     -- {input, output, total}; null: the provider did not say
    cost_usd         numeric,                   -- null: unknown
    response_time_ms integer,
    first_token_ms   integer,
    finish_reason    text,
    status           text NOT NULL CHECK (status IN ('completed', 'error')),
    error_code       text,
    error_message    text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (execution_id, iteration_number, model)
);
CREATE INDEX playground_results_owner_id ON playground_results (owner_id);
