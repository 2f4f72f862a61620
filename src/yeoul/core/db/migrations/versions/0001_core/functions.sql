-- `pg_temp` last in a search path: unnamed it would come first, and a caller's temporary table could stand in for ours.
-- Functions on the hot path say `plan_cache_mode = force_generic_plan`: their statements touch a few rows by key, and
-- planning them anew each time costs as much as running them.

-- Who is asking ---------------------------------------------------------------------------------------------------------

-- After a SET LOCAL has ended the setting is '', not NULL; both mean nobody.
CREATE FUNCTION current_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('yeoul.user_id', true), '')::uuid $$;

-- Partitions ------------------------------------------------------------------------------------------------------------

-- The smallest uuid7 of a moment: the bound of a partition.
CREATE FUNCTION uuid7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid $$;

-- Makes the event partitions of today and the next `days` days, where the default partition holds nothing of theirs.
-- Several processes may call it at once. Returns how many it made.
CREATE FUNCTION ensure_event_partitions(days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    day  timestamptz;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('yeoul.event_partitions'));
    FOR offset_days IN 0..days LOOP
        day := date_trunc('day', now(), 'UTC') + make_interval(days => offset_days);
        name := 'events_' || to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass('yeoul.' || name) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM events  -- not events_default: a partition asked by name has no policy
                              WHERE stream_id >= uuid7_floor(day) AND stream_id < uuid7_floor(day + interval '1 day'));
        EXECUTE format('CREATE TABLE yeoul.%I PARTITION OF yeoul.events FOR VALUES FROM (%L) TO (%L)',
                       name, uuid7_floor(day), uuid7_floor(day + interval '1 day'));
        EXECUTE format('ALTER TABLE yeoul.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE yeoul.%I FORCE ROW LEVEL SECURITY', name);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Streams ---------------------------------------------------------------------------------------------------------------

-- Appends to shared streams, in order, numbering each by its row, whose lock is held until commit: so what commits first
-- has the lower seq. `topics` may repeat. Streams are locked in the order of their ids.
CREATE FUNCTION append_to_topics(topics text[], owners uuid[], types text[], datas json[]) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    held uuid;
    last bigint;
BEGIN
    IF cardinality(topics) = 1 THEN  -- the usual case, in half the time
        UPDATE streams s SET last_seq = s.last_seq + 1 WHERE s.topic = topics[1] RETURNING s.id, s.last_seq INTO held, last;
        IF FOUND THEN
            INSERT INTO events (stream_id, seq, type, data) VALUES (held, last, types[1], datas[1]);
            RETURN NEXT held;
            RETURN;
        END IF;
    END IF;
    INSERT INTO streams (id, owner_id, topic)
    SELECT ('f' || substr(uuidv7()::text, 2))::uuid, t.owner_id, t.topic
    FROM (SELECT DISTINCT topic, owner_id FROM unnest(topics, owners) x(topic, owner_id)) t
    WHERE NOT EXISTS (SELECT FROM streams s WHERE s.topic = t.topic)
    ON CONFLICT (topic) DO NOTHING;

    RETURN QUERY
    WITH item AS (
        SELECT x.topic, x.type, x.data, x.n,
               row_number() OVER (PARTITION BY x.topic ORDER BY x.n) AS place,
               count(*) OVER (PARTITION BY x.topic) AS total
        FROM unnest(topics, types, datas) WITH ORDINALITY x(topic, type, data, n)
    ), held AS MATERIALIZED (
        SELECT s.id, s.topic FROM streams s WHERE s.topic = ANY (topics) ORDER BY s.id FOR UPDATE
    ), moved AS (
        UPDATE streams s SET last_seq = s.last_seq + i.total
        FROM held h JOIN (SELECT DISTINCT topic, total FROM item) i ON i.topic = h.topic
        WHERE s.id = h.id
        RETURNING s.id, s.topic, s.last_seq, i.total
    ), written AS (
        INSERT INTO events (stream_id, seq, type, data)
        SELECT m.id, m.last_seq - m.total + i.place, i.type, i.data
        FROM item i JOIN moved m ON m.topic = i.topic
        RETURNING stream_id
    )
    SELECT DISTINCT stream_id FROM written;
END $$;

-- Jobs: what every change of a job's row brings with it -----------------------------------------------------------------
--
--              submit                claim                        finish
--   (nothing) ────────► queued ──────────────► running ──────────────────────────► succeeded
--                         │  ▲                    │  │
--                  cancel │  └────────────────────┘  ├── error, not to be retried ─► failed
--                         │   retrying: error, lost  │
--                         ▼   lease, released        ├── cancel ───────────────────► canceled
--                      canceled                      ▼
--
-- These triggers write the event of each transition, so that any writer of the row does it right. They run once a
-- statement, over all its rows. Each query inside sees what is committed by then, so `max(seq)` counts every flush that
-- the row's lock has waited for.

CREATE FUNCTION job_summary(j jobs) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', j.id, 'kind', j.kind, 'status', j.status, 'priority', j.priority, 'attempt', j.attempt,
        'max_attempts', j.max_attempts, 'error', j.error, 'cancel_requested', j.cancel_requested,
        'retry_of', j.retry_of, 'created_at', j.created_at, 'run_at', j.run_at,
        'started_at', j.started_at, 'finished_at', j.finished_at)
$$;

CREATE FUNCTION jobs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM append_to_topics(array_agg('user:' || n.owner_id ORDER BY n.id), array_agg(n.owner_id ORDER BY n.id),
                             array_agg('job'::text ORDER BY n.id), array_agg(job_summary(n::jobs) ORDER BY n.id))
    FROM new_rows n HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_inserted();

CREATE FUNCTION jobs_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    one   jobs;
    topic uuid;
    last  bigint;
BEGIN
    SELECT n.* INTO one FROM new_rows n, old_rows o
    WHERE n.status = 'running' AND o.status = 'queued' AND (SELECT count(*) FROM new_rows) = 1;
    IF FOUND THEN  -- a claim of one job: somebody waits for it, so without joins and arrays
        UPDATE streams s SET last_seq = s.last_seq + 1 WHERE s.topic = 'user:' || one.owner_id
        RETURNING s.id, s.last_seq INTO topic, last;
    END IF;
    IF FOUND THEN
        INSERT INTO events (stream_id, seq, type, data)
        VALUES (one.id, coalesce((SELECT max(e.seq) FROM events e WHERE e.stream_id = one.id), 0) + 1,
                'started', json_build_object('attempt', one.attempt)),
               (topic, last, 'job', job_summary(one));
        RETURN NULL;
    END IF;
    INSERT INTO events (stream_id, seq, type, data)
    SELECT n.id,
           coalesce((SELECT max(e.seq) FROM events e WHERE e.stream_id = n.id), 0) + 1,
           CASE n.status WHEN 'running' THEN 'started' WHEN 'queued' THEN 'retrying' ELSE n.status END,
           CASE n.status
               WHEN 'running'   THEN json_build_object('attempt', n.attempt)
               WHEN 'queued'    THEN json_build_object(
                   'attempt', n.attempt + 1,
                   'void_after', coalesce((SELECT max(s.seq_end) FROM steps s WHERE s.job_id = n.id), 0),
                   'in_seconds', round(greatest(extract(epoch FROM n.run_at - now()), 0)::numeric, 3),
                   'error', n.error)
               WHEN 'succeeded' THEN json_build_object('output', n.output)
               WHEN 'failed'    THEN json_build_object('error', n.error)
               ELSE json_build_object()
           END
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.status <> o.status;

    PERFORM append_to_topics(array_agg('user:' || n.owner_id ORDER BY n.id), array_agg(n.owner_id ORDER BY n.id),
                             array_agg('job'::text ORDER BY n.id), array_agg(job_summary(n::jobs) ORDER BY n.id))
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.status <> o.status OR n.cancel_requested <> o.cancel_requested
    HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_updated AFTER UPDATE ON jobs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_updated();

CREATE FUNCTION jobs_terminal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unlinked yeoul.jobs := OLD;
BEGIN
    unlinked.retry_of := NULL;  -- the job it repeats has been deleted
    IF NEW IS NOT DISTINCT FROM unlinked THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % is % and never changes again: retry it as a new job', OLD.id, OLD.status
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER jobs_terminal BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN (OLD.status IN ('succeeded', 'failed', 'canceled'))
    EXECUTE FUNCTION jobs_terminal();

-- Jobs: what may be done to them ------------------------------------------------------------------------------------------

-- The start tag of one more job of an owner, or of the first of several; it moves the end of the owner's backlog by each
-- job's cost, in seconds divided by the owner's weight.
CREATE FUNCTION fair_tag(p_priority integer, p_owner uuid, p_kind text, p_count integer DEFAULT 1)
RETURNS double precision
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    cost double precision := coalesce((SELECT greatest(average_seconds, 0.001) FROM kind_costs WHERE kind = p_kind), 1)
                             / (SELECT queue_weight FROM users WHERE id = p_owner) * p_count;
    tag  double precision;
BEGIN
    INSERT INTO queue_flow AS f SELECT p_priority, p_owner, vtime + cost FROM queue_class WHERE priority = p_priority
    ON CONFLICT (priority, owner_id) DO UPDATE SET finish =
        greatest(f.finish, (SELECT vtime FROM queue_class WHERE priority = p_priority)) + cost
    RETURNING finish - cost INTO tag;
    RETURN tag;
END $$;

-- Submits a job of the user in scope. `p_run_at` null or past: ready at once. `p_retry_of`: an earlier job of theirs,
-- whose steps it shares. No row comes back when as many jobs as `p_max_queued` are waiting already. Counting them takes
-- longer the more there are, so of a limit above 1,000 only some submits count: on average each looks at 1,000.
CREATE FUNCTION submit_job(p_id uuid, p_kind text, p_input jsonb, p_priority integer, p_run_at timestamptz,
                           p_max_attempts integer, p_retry_of uuid, p_max_queued integer,
                           p_traceparent text DEFAULT NULL)
RETURNS SETOF jobs
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    owner uuid := current_user_id();
    root  uuid := p_id;
    later boolean := coalesce(p_run_at > now(), false);
BEGIN
    IF owner IS NULL THEN
        RAISE EXCEPTION 'submit_job needs a tenant scope' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF p_retry_of IS NOT NULL THEN
        SELECT j.root_id INTO root FROM jobs j WHERE j.id = p_retry_of AND j.owner_id = owner;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'job % is not theirs to retry', p_retry_of USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    IF random() * p_max_queued < 1000 THEN
        IF EXISTS (SELECT FROM jobs WHERE owner_id = owner AND status = 'queued' OFFSET p_max_queued - 1) THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    INSERT INTO jobs (id, owner_id, kind, priority, input, run_at, max_attempts, retry_of, root_id, traceparent,
                      fair_at)
    VALUES (p_id, owner, p_kind, p_priority, p_input, CASE WHEN later THEN p_run_at ELSE now() END, p_max_attempts,
            p_retry_of, root, p_traceparent, CASE WHEN later THEN NULL ELSE fair_tag(p_priority, owner, p_kind) END)
    RETURNING *;
END $$;

-- Submits jobs of one kind of the user in scope, in their order, and returns how many. The first `p_ready` of them are
-- ready at once; the others are held: without a `run_at`, until whoever submitted them readies them. All or none: none
-- when more than `p_max_queued` would be waiting.
CREATE FUNCTION submit_jobs(p_ids uuid[], p_kind text, p_inputs jsonb, p_priority integer, p_ready integer,
                            p_max_attempts integer, p_max_queued integer, p_traceparent text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    owner uuid := current_user_id();
    made  integer := cardinality(p_ids);
    ready integer := greatest(least(p_ready, cardinality(p_ids)), 0);
    first double precision;
    step  double precision;
BEGIN
    IF owner IS NULL THEN
        RAISE EXCEPTION 'submit_jobs needs a tenant scope' USING ERRCODE = 'insufficient_privilege';
    ELSIF made <> jsonb_array_length(p_inputs) THEN
        RAISE EXCEPTION 'submit_jobs: % ids, but % inputs', made, jsonb_array_length(p_inputs);
    ELSIF made > p_max_queued OR EXISTS (
        SELECT FROM jobs WHERE owner_id = owner AND status = 'queued' OFFSET p_max_queued - made
    ) THEN
        RETURN 0;
    END IF;
    IF ready > 0 THEN
        first := fair_tag(p_priority, owner, p_kind, ready);
        SELECT (f.finish - first) / ready INTO step FROM queue_flow f WHERE f.priority = p_priority AND f.owner_id = owner;
    END IF;
    INSERT INTO jobs (id, owner_id, kind, priority, input, run_at, max_attempts, root_id, traceparent, fair_at)
    SELECT x.id, owner, p_kind, p_priority, x.input, CASE WHEN x.n <= ready THEN now() END, p_max_attempts, x.id,
           p_traceparent, CASE WHEN x.n <= ready THEN first + (x.n - 1) * step END
    FROM ROWS FROM (unnest(p_ids), jsonb_array_elements(p_inputs)) WITH ORDINALITY x(id, input, n) ORDER BY x.n;
    RETURN made;
END $$;

-- Cancels a job of the user in scope: at once when it is queued; a running one is asked to, and its worker ends it.
-- A terminal one is returned as it is. Null when there is no such job of theirs.
CREATE FUNCTION cancel_job(p_id uuid) RETURNS SETOF jobs
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    j jobs;
BEGIN
    SELECT * INTO j FROM jobs WHERE id = p_id AND owner_id = current_user_id() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    ELSIF j.status = 'queued' THEN
        RETURN QUERY UPDATE jobs SET status = 'canceled', cancel_requested = true, finished_at = now(), error = NULL
                     WHERE id = p_id RETURNING *;
    ELSIF j.status = 'running' AND NOT j.cancel_requested THEN
        RETURN QUERY UPDATE jobs SET cancel_requested = true WHERE id = p_id RETURNING *;
    ELSE
        RETURN NEXT j;
    END IF;
END $$;

-- Planned once, for indexes read in their order whatever the tables hold: planning anew costs as much as the claim, and a
-- plan made while the queue was short sorts the whole backlog when it is long (measured with 20,000 ready: 0.44 ms as
-- it is, 0.88 planned each time, 2.2 with a plain generic plan).

-- Which ready jobs are next, at most `p_slots`, when limits may bind: an owner has at most `p_owner_limit` running (null:
-- any number), a kind at most what `p_kind_limits` says. Looks at the front of each kind's queue, and only when that is
-- full of owners at their limit at every owner's own front: a limited owner's backlog is never read through.
CREATE FUNCTION next_jobs_within_limits(p_slots integer, p_kinds text[], p_owner_limit integer, p_kind_limits jsonb)
RETURNS uuid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    open_kinds text[];     -- those with room
    room       integer[];  -- and how much, at most p_slots
    near       integer := p_slots + 50;
    chosen     uuid[];
    full_front boolean;
BEGIN
    SELECT array_agg(k.kind), array_agg(k.room::integer) INTO open_kinds, room
    FROM (SELECT kind, least(p_slots, (p_kind_limits ->> kind)::integer - CASE WHEN p_kind_limits ? kind THEN (
                     SELECT count(*) FROM jobs r WHERE r.kind = u.kind AND r.status = 'running') END) AS room
          FROM unnest(p_kinds) u(kind)) k
    WHERE k.room > 0;

    WITH front AS MATERIALIZED (
        SELECT c.*, k.room FROM unnest(open_kinds, room) k(kind, room)
        CROSS JOIN LATERAL (
            SELECT q.id, q.kind, q.owner_id, q.priority, q.fair_at FROM jobs q
            WHERE q.kind = k.kind AND q.status = 'queued' AND q.fair_at IS NOT NULL
            ORDER BY q.priority DESC, q.fair_at, q.id LIMIT near) c
    ), busy AS MATERIALIZED (
        SELECT o.owner_id, (SELECT count(*) FROM jobs r WHERE r.owner_id = o.owner_id AND r.status = 'running') AS running
        FROM (SELECT DISTINCT owner_id FROM front) o
    ), within_owner AS (
        SELECT f.*, row_number() OVER (PARTITION BY f.owner_id ORDER BY f.priority DESC, f.fair_at, f.id) AS nth FROM front f
    ), within_kind AS (
        SELECT w.*, row_number() OVER (PARTITION BY w.kind ORDER BY w.priority DESC, w.fair_at, w.id) AS nth_of_kind
        FROM within_owner w JOIN busy b USING (owner_id)
        WHERE p_owner_limit IS NULL OR b.running + w.nth <= p_owner_limit
    )
    SELECT ARRAY(SELECT k.id FROM within_kind k WHERE k.nth_of_kind <= k.room
                 ORDER BY k.priority DESC, k.fair_at, k.id LIMIT p_slots),
           EXISTS (SELECT FROM front GROUP BY kind HAVING count(*) = near)
    INTO chosen, full_front;
    IF cardinality(chosen) = p_slots OR NOT full_front THEN
        RETURN chosen;
    END IF;

    RETURN ARRAY(
        WITH RECURSIVE owners AS (
            (SELECT q.owner_id FROM jobs q WHERE q.status = 'queued' AND q.fair_at IS NOT NULL ORDER BY q.owner_id LIMIT 1)
            UNION ALL
            SELECT (SELECT q.owner_id FROM jobs q WHERE q.status = 'queued' AND q.fair_at IS NOT NULL
                        AND q.owner_id > o.owner_id ORDER BY q.owner_id LIMIT 1)
            FROM owners o WHERE o.owner_id IS NOT NULL
        ), within_owner AS (
            SELECT c.* FROM owners o
            CROSS JOIN LATERAL (
                SELECT count(*)::integer AS running FROM jobs r WHERE r.owner_id = o.owner_id AND r.status = 'running') b
            CROSS JOIN LATERAL (
                SELECT q.id, q.kind, q.priority, q.fair_at FROM jobs q
                WHERE q.owner_id = o.owner_id AND q.status = 'queued' AND q.fair_at IS NOT NULL AND q.kind = ANY (open_kinds)
                ORDER BY q.priority DESC, q.fair_at, q.id
                LIMIT least(p_slots, greatest(p_owner_limit - b.running, 0))) c
            WHERE o.owner_id IS NOT NULL
        ), within_kind AS (
            SELECT w.*, k.room, row_number() OVER (PARTITION BY w.kind ORDER BY w.priority DESC, w.fair_at, w.id) AS nth
            FROM within_owner w JOIN unnest(open_kinds, room) k(kind, room) USING (kind)
        )
        SELECT w.id FROM within_kind w WHERE w.nth <= w.room ORDER BY w.priority DESC, w.fair_at, w.id LIMIT p_slots);
END $$;

-- Of every 16 claimed jobs, one is that which has been ready longest, whatever its priority: nothing waits for ever.
CREATE SEQUENCE claim_turns CYCLE;

-- Claims up to `slots` ready jobs of these kinds for a worker: by priority, then fair share, then age. One owner runs at
-- most `p_owner_share` of all workers' slots, and at most `p_owner_limit` jobs (null: any number).
--
-- Claims take turns, by an advisory lock: otherwise two would count the same running jobs, and both exceed a limit. It
-- costs nothing while nobody else claims, and with nothing ready nobody waits for it. `last_seq` is read by a statement of
-- its own: inside the UPDATE's snapshot it would be stale. A single ready job, for which somebody waits, goes a short way.
CREATE FUNCTION claim_jobs(p_worker uuid, p_slots integer, p_kinds text[], p_owner_share double precision DEFAULT 1,
                           p_owner_limit integer DEFAULT NULL, p_kind_limits jsonb DEFAULT '{}')
RETURNS TABLE (id uuid, kind text, owner_id uuid, root_id uuid, input jsonb, attempt integer, max_attempts integer,
               epoch integer, created_at timestamptz, last_seq bigint, owner_stream uuid)
LANGUAGE plpgsql SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    alive       boolean;
    all_slots   bigint;
    owner_limit integer := p_owner_limit;
    chosen      uuid[];
    overdue     uuid[] := '{}';
    front       text;
    turn        boolean := false;
    oldest      uuid;
    one         jobs;
    claimed     uuid[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('yeoul.claim')) THEN
        IF NOT EXISTS (
            SELECT FROM jobs q WHERE q.kind = ANY (p_kinds) AND q.status = 'queued' AND q.fair_at IS NOT NULL
        ) THEN
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('yeoul.claim'));
    END IF;

    SELECT array_agg(f.id), min(f.kind) INTO chosen, front
    FROM (SELECT q.id, q.kind FROM jobs q WHERE q.status = 'queued' AND q.fair_at IS NOT NULL
          ORDER BY q.priority DESC, q.fair_at, q.id LIMIT 2) f;
    IF chosen IS NULL OR (cardinality(chosen) = 1 AND front <> ALL (p_kinds)) THEN
        RETURN;
    ELSIF p_kind_limits <> '{}' THEN
        chosen := NULL;
    ELSIF cardinality(chosen) > 1 THEN
        chosen := ARRAY(
            SELECT c.id FROM unnest(p_kinds) k(kind)
            CROSS JOIN LATERAL (
                SELECT q.id, q.priority, q.fair_at FROM jobs q
                WHERE q.kind = k.kind AND q.status = 'queued' AND q.fair_at IS NOT NULL
                ORDER BY q.priority DESC, q.fair_at, q.id LIMIT p_slots) c
            ORDER BY c.priority DESC, c.fair_at, c.id LIMIT p_slots);
    END IF;
    SELECT bool_or(w.id = p_worker), sum(w.concurrency) INTO alive, all_slots FROM workers w WHERE w.expires_at > now();
    IF alive IS NOT TRUE THEN  -- its jobs would be taken away at once
        RETURN;
    ELSIF p_owner_share < 1 THEN
        owner_limit := least(p_owner_limit, greatest(1, floor(all_slots * p_owner_share)::integer));
    END IF;
    IF chosen IS NULL OR cardinality(chosen) > owner_limit - (
           SELECT count(*) FROM (SELECT FROM jobs r WHERE r.status = 'running' LIMIT owner_limit) r) THEN
        chosen := next_jobs_within_limits(p_slots, p_kinds, owner_limit, p_kind_limits);
    END IF;

    -- The oldest job that limits leave room for takes the place of the last one chosen, when that has a higher priority:
    -- within one priority fair share lets nobody wait for ever. The oldest hundred of each kind are looked at: where all
    -- are of owners at their limit, these have turns among their own jobs, and so are out of the way in the end.
    FOR _ IN 1 .. cardinality(chosen) LOOP
        IF nextval('claim_turns') % 16 = 0 THEN
            turn := true;
        END IF;
    END LOOP;
    IF turn THEN
        WITH others AS MATERIALIZED (
            SELECT q.owner_id, q.kind FROM jobs q WHERE q.id = ANY (chosen[: cardinality(chosen) - 1])
        ), old AS MATERIALIZED (
            SELECT c.* FROM unnest(p_kinds) k(kind)
            CROSS JOIN LATERAL (
                SELECT q.id, q.owner_id, q.priority, q.run_at FROM jobs q
                WHERE q.kind = k.kind AND q.status = 'queued' AND q.fair_at IS NOT NULL
                ORDER BY q.run_at LIMIT 100) c
            WHERE NOT p_kind_limits ? k.kind OR (p_kind_limits ->> k.kind)::integer >
                (SELECT count(*) FROM jobs r WHERE r.kind = k.kind AND r.status = 'running')
                + (SELECT count(*) FROM others WHERE others.kind = k.kind)
        ), roomy AS (
            SELECT o.owner_id FROM (SELECT DISTINCT owner_id FROM old) o
            WHERE owner_limit IS NULL OR owner_limit >
                (SELECT count(*) FROM jobs r WHERE r.owner_id = o.owner_id AND r.status = 'running')
                + (SELECT count(*) FROM others WHERE others.owner_id = o.owner_id)
        )
        SELECT old.id INTO oldest FROM old JOIN roomy USING (owner_id) ORDER BY old.run_at LIMIT 1;
        IF (SELECT q.priority FROM jobs q WHERE q.id = oldest)
           < (SELECT q.priority FROM jobs q WHERE q.id = chosen[cardinality(chosen)])
           AND oldest <> ALL (chosen) THEN
            chosen[cardinality(chosen)] := oldest;
            overdue := ARRAY[oldest];
        END IF;
    END IF;

    IF chosen = '{}' THEN
        RETURN;
    ELSIF cardinality(chosen) = 1 THEN
        UPDATE jobs j SET status = 'running', epoch = j.epoch + 1, attempt = j.attempt + 1, worker_id = p_worker,
                          started_at = clock_timestamp(), progress = NULL
        WHERE j.id = chosen[1] AND j.status = 'queued' RETURNING j.* INTO one;
        UPDATE queue_class q SET vtime = one.fair_at
        WHERE q.priority = one.priority AND q.vtime < one.fair_at AND one.id <> ALL (overdue);
        RETURN QUERY
        SELECT one.id, one.kind, one.owner_id, one.root_id, one.input, one.attempt, one.max_attempts, one.epoch,
               one.created_at,
               (SELECT max(e.seq) FROM events e WHERE e.stream_id = one.id),
               (SELECT s.id FROM streams s WHERE s.topic = 'user:' || one.owner_id)
        WHERE one.id IS NOT NULL;
        RETURN;
    END IF;

    WITH taken AS (
        UPDATE jobs j SET status = 'running', epoch = j.epoch + 1, attempt = j.attempt + 1, worker_id = p_worker,
                          started_at = clock_timestamp(), progress = NULL
        FROM unnest(chosen) c(id) WHERE j.id = c.id AND j.status = 'queued'
        RETURNING j.id, j.priority, j.fair_at
    ), clock AS (
        UPDATE queue_class q SET vtime = m.v
        FROM (SELECT priority, max(fair_at) AS v FROM taken WHERE taken.id <> ALL (overdue) GROUP BY 1) m
        WHERE q.priority = m.priority AND m.v > q.vtime
    )
    SELECT array_agg(taken.id) INTO claimed FROM taken;
    IF claimed IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT j.id, j.kind, j.owner_id, j.root_id, j.input, j.attempt, j.max_attempts, j.epoch, j.created_at,
           (SELECT max(e.seq) FROM events e WHERE e.stream_id = j.id),
           (SELECT s.id FROM streams s WHERE s.topic = 'user:' || j.owner_id)
    FROM jobs j WHERE j.id = ANY (claimed) ORDER BY j.priority DESC, j.fair_at, j.id;
END $$;

-- Where ready jobs stand: 1 is next, counted to 100; and a guess of the seconds until they start.
CREATE FUNCTION queue_places(p_ids uuid[]) RETURNS TABLE (id uuid, place integer, eta_seconds double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, yeoul, pg_temp AS $$
    SELECT j.id, a.ahead + 1,
           round((a.ahead * coalesce(c.average_seconds, 1) / greatest(w.slots, 1))::numeric, 1)::double precision
    FROM jobs j
    LEFT JOIN kind_costs c ON c.kind = j.kind
    CROSS JOIN LATERAL (SELECT count(*)::integer AS ahead FROM (
        SELECT FROM jobs q WHERE q.status = 'queued' AND q.fair_at IS NOT NULL
            AND (q.priority > j.priority OR (q.priority = j.priority AND (q.fair_at, q.id) < (j.fair_at, j.id)))
        LIMIT 99) first) a
    CROSS JOIN (SELECT coalesce(sum(concurrency), 0) AS slots FROM workers WHERE expires_at > now()) w
    WHERE j.id = ANY (p_ids) AND j.status = 'queued' AND j.fair_at IS NOT NULL
$$;

-- The same of one job of the user in scope.
CREATE FUNCTION queue_place(p_id uuid) RETURNS TABLE (place integer, eta_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
    SELECT p.place, p.eta_seconds FROM queue_places(ARRAY(
        SELECT j.id FROM jobs j WHERE j.id = p_id AND j.owner_id = current_user_id())) p
$$;

-- Gives jobs whose time has come their place in the queue. Returns how many.
CREATE FUNCTION ready_due_jobs(p_limit integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    due   record;
    moved integer := 0;
BEGIN
    -- By owner, so that two callers lock the owners' flows in one order.
    FOR due IN WITH taken AS MATERIALIZED (
                   SELECT id, priority, owner_id, kind, run_at FROM jobs
                   WHERE status = 'queued' AND fair_at IS NULL AND run_at <= now()
                   ORDER BY run_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
               SELECT * FROM taken ORDER BY priority, owner_id, run_at LOOP
        UPDATE jobs SET fair_at = fair_tag(due.priority, due.owner_id, due.kind) WHERE id = due.id;
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END $$;
