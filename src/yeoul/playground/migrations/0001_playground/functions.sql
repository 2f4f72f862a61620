-- Whoever ends a job (worker, sweeper, cancel), its result and its execution's status are written in that transaction.
--
-- Locks are taken in one order everywhere: jobs by id, executions by owner, the owner's flow in the queue, the owner's
-- stream. So this trigger's name puts it before `jobs_updated`, which writes to the stream, and the next iterations are
-- taken with SKIP LOCKED: whoever holds such a job is cancelling it, and comes here next.

-- What a job has said that has no output, as its readers saw it last: an attempt that is repeated voids what it had said
-- after its last finished step. Null: nothing.
CREATE FUNCTION playground_said(p_job uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, yeoul, pg_temp AS $$
    WITH repeats AS MATERIALIZED (
        SELECT seq, (data ->> 'void_after')::bigint AS void_after FROM events
        WHERE stream_id = p_job AND type = 'retrying'
    )
    SELECT string_agg(e.data ->> 'delta', '' ORDER BY e.seq) FROM events e
    WHERE e.stream_id = p_job AND e.type = 'text'
        AND NOT EXISTS (SELECT FROM repeats r WHERE r.seq > e.seq AND e.seq > r.void_after)
$$;

CREATE FUNCTION playground_iterations_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    x     record;
    total integer;
    good  integer;
    gone  integer;
    void  uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE kind = 'playground.iteration') THEN
        RETURN NULL;
    END IF;

    -- Of a prompt that has been deleted nothing stays readable, neither what its last jobs had said when they were
    -- canceled. Their events are emptied, not deleted: who still follows them counts on every number.
    SELECT array_agg(n.id) INTO void
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.kind = 'playground.iteration' AND n.finished_at IS NOT NULL AND o.finished_at IS NULL
        AND NOT EXISTS (SELECT FROM playground_executions e WHERE e.id = (n.input ->> 'execution_id')::uuid);
    IF void IS NOT NULL THEN
        UPDATE events SET data = '{"delta":""}' WHERE stream_id = ANY (void) AND type = 'text';
        DELETE FROM steps WHERE job_id = ANY (void);
    END IF;

    FOR x IN
        SELECT e.*, m.ended FROM (
            SELECT (n.input ->> 'execution_id')::uuid AS id, bool_or(n.finished_at IS NOT NULL) AS ended
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.kind = 'playground.iteration' AND n.status <> o.status AND n.status <> 'queued' GROUP BY 1
        ) m JOIN playground_executions e ON e.id = m.id
        WHERE m.ended OR e.status = 'started'
        ORDER BY e.owner_id, e.id FOR NO KEY UPDATE OF e
    LOOP
        IF NOT x.ended THEN
            UPDATE playground_executions SET status = 'running', started_at = now(), updated_at = now()
            WHERE id = x.id AND status = 'started';
            CONTINUE;
        END IF;

        -- A retry of an iteration (same root) mends an error, and never spoils an answer.
        INSERT INTO playground_results AS r (id, owner_id, execution_id, iteration_number, case_number, model, job_id,
            response_text, tokens_used, cost_usd, judging, checks, response_time_ms, first_token_ms, finish_reason, status,
            error_code, error_message)
        SELECT DISTINCT ON (n.root_id)
            n.root_id, n.owner_id, x.id, (n.input ->> 'iteration_number')::integer, (n.input ->> 'case_number')::integer,
            n.input ->> 'model', n.id,
            CASE n.status WHEN 'succeeded' THEN n.output ->> 'text' ELSE playground_said(n.id) END,
            CASE WHEN jsonb_typeof(n.output -> 'usage') = 'object' THEN jsonb_strip_nulls(jsonb_build_object(
                'input', n.output -> 'usage' -> 'input_tokens', 'output', n.output -> 'usage' -> 'output_tokens',
                'total', (n.output -> 'usage' ->> 'input_tokens')::bigint
                       + (n.output -> 'usage' ->> 'output_tokens')::bigint,
                'cached', n.output -> 'usage' -> 'cached_input_tokens')) END,
            (n.output ->> 'cost_usd')::numeric,
            nullif(n.output -> 'judging', 'null'),
            coalesce(n.output -> 'checks', '[]'),
            least(coalesce((n.output ->> 'time_ms')::numeric,
                           round(extract(epoch FROM n.finished_at - n.started_at) * 1000)), 2147483647)::integer,
            (n.output ->> 'first_token_ms')::integer,
            n.output ->> 'finish_reason',
            CASE n.status WHEN 'succeeded' THEN 'completed' ELSE 'error' END,
            CASE n.status WHEN 'failed' THEN n.error ->> 'code' WHEN 'canceled' THEN 'canceled' END,
            CASE n.status WHEN 'failed' THEN n.error ->> 'message'
                          WHEN 'canceled' THEN 'It was canceled before it had an answer.' END
        FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE n.kind = 'playground.iteration' AND n.finished_at IS NOT NULL AND o.finished_at IS NULL
            AND n.input ->> 'execution_id' = x.id::text AND n.owner_id = x.owner_id AND n.root_id = ANY (x.job_ids)
        ORDER BY n.root_id, n.status = 'succeeded' DESC, n.id DESC
        ON CONFLICT (id) DO UPDATE SET
            job_id = excluded.job_id,
            -- What had been said before a retry failed, without a word, is not lost by it.
            response_text = CASE WHEN excluded.status = 'error' THEN coalesce(excluded.response_text, r.response_text)
                                 ELSE excluded.response_text END,
            tokens_used = excluded.tokens_used,
            cost_usd = excluded.cost_usd, judging = excluded.judging, checks = excluded.checks,
            response_time_ms = excluded.response_time_ms,
            first_token_ms = excluded.first_token_ms, finish_reason = excluded.finish_reason, status = excluded.status,
            error_code = excluded.error_code, error_message = excluded.error_message, updated_at = now()
        WHERE r.status = 'error' AND excluded.error_code IS DISTINCT FROM 'canceled';

        SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE error_code = 'canceled')
        INTO total, good, gone FROM playground_results WHERE execution_id = x.id;
        IF total = cardinality(x.job_ids) THEN
            UPDATE playground_executions SET
                status = CASE WHEN gone > 0 THEN 'canceled' WHEN good = total THEN 'completed'
                              WHEN good = 0 THEN 'failed' ELSE 'partial' END,
                completed_at = coalesce(completed_at, clock_timestamp()), updated_at = now()
            WHERE id = x.id;
        ELSIF x.concurrency IS NOT NULL AND NOT x.cancel_requested THEN
            UPDATE jobs j SET run_at = now(), fair_at = fair_tag(j.priority, j.owner_id, j.kind)
            FROM (
                SELECT id FROM jobs
                WHERE id = ANY (x.job_ids) AND status = 'queued' AND run_at IS NULL ORDER BY id
                LIMIT greatest(x.concurrency - (
                    SELECT count(*) FROM jobs
                    WHERE id = ANY (x.job_ids) AND (status = 'running' OR status = 'queued' AND run_at IS NOT NULL)), 0)
                FOR UPDATE SKIP LOCKED
            ) next WHERE j.id = next.id;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER iterations_moved AFTER UPDATE ON jobs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION playground_iterations_moved();

-- Those jobs of an execution that have not ended, locked: its first ones, and their retries.
CREATE FUNCTION playground_unfinished(p_firsts uuid[]) RETURNS SETOF uuid
LANGUAGE sql SET search_path = pg_catalog, yeoul, pg_temp AS $$
    SELECT id FROM jobs
    WHERE finished_at IS NULL AND (id = ANY (p_firsts) OR (root_id = ANY (p_firsts) AND root_id <> id))
    ORDER BY id FOR UPDATE
$$;

-- Cancels what is left of an execution of the user in scope, and returns those jobs as they are now; nothing when it is
-- not theirs.
CREATE FUNCTION playground_cancel(p_execution uuid) RETURNS SETOF jobs
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    firsts uuid[];
    ids    uuid[];
BEGIN
    SELECT job_ids INTO firsts FROM playground_executions WHERE id = p_execution AND owner_id = current_user_id();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    ids := ARRAY(SELECT playground_unfinished(firsts));
    UPDATE playground_executions SET cancel_requested = true, updated_at = now()
    WHERE id = p_execution AND completed_at IS NULL;
    RETURN QUERY SELECT c.* FROM unnest(ids) i CROSS JOIN LATERAL cancel_job(i) c;
END $$;

-- Deletes a prompt of the user in scope with all that came of it: jobs that have ended are forgotten, with all they said,
-- the others canceled. Returns these as they are now.
CREATE FUNCTION playground_delete(p_prompt uuid) RETURNS SETOF jobs
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    firsts uuid[] := ARRAY(SELECT unnest(job_ids) FROM playground_executions
                           WHERE prompt_id = p_prompt AND owner_id = current_user_id());
    ids    uuid[] := ARRAY(SELECT playground_unfinished(firsts));
BEGIN
    DELETE FROM playground_prompts WHERE id = p_prompt AND owner_id = current_user_id();
    PERFORM forget_jobs(ARRAY(
        SELECT id FROM jobs
        WHERE (id = ANY (firsts) OR (root_id = ANY (firsts) AND root_id <> id)) AND id <> ALL (ids)));
    RETURN QUERY SELECT c.* FROM unnest(ids) i CROSS JOIN LATERAL cancel_job(i) c;
END $$;

REVOKE EXECUTE ON FUNCTION playground_said, playground_iterations_moved(), playground_unfinished, playground_cancel,
    playground_delete FROM PUBLIC;
GRANT EXECUTE ON FUNCTION playground_said, playground_iterations_moved(), playground_unfinished, playground_cancel,
    playground_delete TO yeoul_service;
GRANT EXECUTE ON FUNCTION playground_cancel, playground_delete TO yeoul_app;
