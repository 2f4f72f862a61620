-- Forgetting: finished jobs past their time, and days of events that nobody needs any more.

-- What a deleted job takes along is found by it.
CREATE INDEX idempotency_keys_job_id ON idempotency_keys (job_id);

-- Deletes up to `p_limit` jobs that ended before a moment, the oldest first, with their events. `p_owner`: theirs alone;
-- null: everybody's but `p_not_owner`'s. Spared are jobs whose steps a retry that has not ended may still reuse.
-- Returns how many. Planned each time, so that a given owner is read by their index.
CREATE FUNCTION prune_jobs(p_before timestamptz, p_limit integer, p_owner uuid, p_not_owner uuid) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, yeoul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    gone uuid[];
BEGIN
    WITH spared AS MATERIALIZED (
        SELECT root_id FROM jobs WHERE status = 'queued' AND retry_of IS NOT NULL
        UNION
        SELECT root_id FROM jobs WHERE status = 'running' AND retry_of IS NOT NULL
    ), old AS MATERIALIZED (
        SELECT j.id FROM jobs j
        WHERE j.id < uuid7_floor(p_before) AND j.finished_at < p_before
            AND j.status IN ('succeeded', 'failed', 'canceled')
            AND ((p_owner IS NULL AND j.owner_id <> p_not_owner) OR j.owner_id = p_owner)
            AND NOT EXISTS (SELECT FROM spared s WHERE s.root_id = j.root_id)
        ORDER BY j.id LIMIT p_limit FOR UPDATE OF j SKIP LOCKED
    ), deleted AS (
        DELETE FROM jobs j USING old o WHERE j.id = o.id RETURNING j.id
    )
    SELECT array_agg(id) INTO gone FROM deleted;
    DELETE FROM events WHERE stream_id = ANY (gone);
    RETURN coalesce(cardinality(gone), 0);
END $$;

-- Deletes those of some jobs of the user in scope that have ended, with their events and steps: for what they made is to
-- be there no more. Returns how many.
CREATE FUNCTION forget_jobs(p_ids uuid[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp AS $$
DECLARE
    gone uuid[];
BEGIN
    WITH deleted AS (
        DELETE FROM jobs WHERE id = ANY (p_ids) AND owner_id = current_user_id() AND finished_at IS NOT NULL RETURNING id
    )
    SELECT array_agg(id) INTO gone FROM deleted;
    DELETE FROM events WHERE stream_id = ANY (gone);
    RETURN coalesce(cardinality(gone), 0);
END $$;

-- Drops the oldest day of events of which every job ended before a moment, and returns its name; null when there is
-- none. A day at a time, since the drop locks the log. It waits for readers two seconds, no longer: behind it everybody
-- else would wait too.
CREATE FUNCTION drop_event_partition(p_before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, yeoul, pg_temp
SET lock_timeout = '2s' SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT c.relname AS name, (to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'yeoul.events'::regclass AND c.relname ~ '^events_[0-9]{8}$' ORDER BY c.relname
    LOOP
        CONTINUE WHEN part.day + interval '1 day' > least(p_before, date_trunc('day', now(), 'UTC'));
        CONTINUE WHEN EXISTS (
            SELECT FROM jobs
            WHERE id >= uuid7_floor(part.day) AND id < uuid7_floor(part.day + interval '1 day')
                AND (finished_at IS NULL OR finished_at >= p_before));
        EXECUTE format('DROP TABLE yeoul.%I', part.name);
        RETURN part.name;
    END LOOP;
    RETURN NULL;
END $$;
