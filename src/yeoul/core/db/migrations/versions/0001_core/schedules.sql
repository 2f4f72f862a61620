-- Schedules: jobs that are submitted again and again. All times are the database's.

CREATE TABLE schedules (
    id            uuid PRIMARY KEY,
    owner_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name          text NOT NULL,
    built_in      text UNIQUE,               -- the installation's own, by their names in the code
    kind          text NOT NULL,
    input         jsonb NOT NULL,
    priority      smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
    cron          text,                      -- five fields, read in `time_zone`
    every_seconds integer CHECK (every_seconds >= 1),
    time_zone     text NOT NULL,
    missed        text NOT NULL CHECK (missed IN ('skip', 'once')),
    overlap       text NOT NULL CHECK (overlap IN ('allow', 'skip')),
    enabled       boolean NOT NULL,
    next_at       timestamptz,               -- the tick that is waited for; null while paused, or when none will come
    last_at       timestamptz,               -- when it last made a job
    last_job_id   uuid REFERENCES jobs ON DELETE SET NULL,
    last_error    jsonb,                     -- why the last tick made none; null once one has
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner_id, name),
    CHECK ((cron IS NULL) <> (every_seconds IS NULL))
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE enabled AND next_at IS NOT NULL;
CREATE INDEX schedules_last_job_id ON schedules (last_job_id);

-- What a tick made. The key is the second lock on the door: one tick, one job, whoever fires it.
CREATE TABLE schedule_runs (
    schedule_id uuid NOT NULL REFERENCES schedules ON DELETE CASCADE,
    tick        timestamptz NOT NULL,        -- of a run by hand: when it was asked for
    owner_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    PRIMARY KEY (schedule_id, tick)
);
CREATE INDEX schedule_runs_job_id ON schedule_runs (job_id);
CREATE INDEX schedule_runs_owner_id ON schedule_runs (owner_id);

-- Read in the tenant scope; written by the service, within limits that SQL does not know.
CREATE POLICY schedules_own ON schedules FOR SELECT TO yeoul_app USING (owner_id = (SELECT current_user_id()));
GRANT SELECT ON schedules TO yeoul_app;
CREATE POLICY schedule_runs_own ON schedule_runs FOR SELECT TO yeoul_app
    USING (owner_id = (SELECT current_user_id()));
GRANT SELECT ON schedule_runs TO yeoul_app;
