-- Row level security, in the database itself. Three roles:
--   yeoul_owner    owns everything, cannot log in; the SECURITY DEFINER functions run as it
--   yeoul_app      the API's and handlers' login: one user's rows, and no writes to jobs, events or the queue
--   yeoul_service  workers, sign-in, administration: every row, but no DDL
-- FORCE: even the owner is subject to policies, so that no login passes by mistake.

DO $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT c.relname FROM pg_class c
             WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version' LOOP
        EXECUTE format('ALTER TABLE yeoul.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE yeoul.%I FORCE ROW LEVEL SECURITY', t);
        IF NOT (SELECT relispartition FROM pg_class WHERE oid = ('yeoul.' || quote_ident(t))::regclass) THEN
            EXECUTE format('CREATE POLICY %I ON yeoul.%I TO yeoul_owner, yeoul_service USING (true) WITH CHECK (true)',
                           t || '_service', t);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON yeoul.%I TO yeoul_service', t);
        END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA yeoul TO yeoul_app, yeoul_service;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA yeoul TO yeoul_service;

CREATE POLICY users_own ON users FOR SELECT TO yeoul_app USING (id = (SELECT current_user_id()));
CREATE POLICY users_own_update ON users FOR UPDATE TO yeoul_app
    USING (id = (SELECT current_user_id())) WITH CHECK (id = (SELECT current_user_id()));
GRANT SELECT (id, email, name, role, created_at, updated_at), UPDATE (name, updated_at) ON users TO yeoul_app;

-- One sees one's sessions, identities and keys, but no hash of a secret; sign-in and the routes that end them write.
CREATE POLICY sessions_own ON sessions FOR SELECT TO yeoul_app USING (user_id = (SELECT current_user_id()));
GRANT SELECT (id, user_id, rotated_at, created_at, expires_at, revoked_at, user_agent) ON sessions TO yeoul_app;

CREATE POLICY identities_own ON identities FOR SELECT TO yeoul_app USING (user_id = (SELECT current_user_id()));
GRANT SELECT ON identities TO yeoul_app;

CREATE POLICY api_keys_own ON api_keys FOR SELECT TO yeoul_app USING (user_id = (SELECT current_user_id()));
GRANT SELECT (id, user_id, name, prefix, scopes, created_at, last_used_at, expires_at) ON api_keys TO yeoul_app;

CREATE POLICY secrets_own ON secrets FOR SELECT TO yeoul_app USING (owner_id = (SELECT current_user_id()));
GRANT SELECT (owner_id, name, hint, created_at, last_used_at) ON secrets TO yeoul_app;

CREATE POLICY jobs_own ON jobs FOR SELECT TO yeoul_app USING (owner_id = (SELECT current_user_id()));
GRANT SELECT ON jobs TO yeoul_app;

CREATE POLICY steps_own ON steps FOR SELECT TO yeoul_app USING (owner_id = (SELECT current_user_id()));
GRANT SELECT ON steps TO yeoul_app;

CREATE POLICY streams_own ON streams FOR SELECT TO yeoul_app USING (owner_id = (SELECT current_user_id()));
GRANT SELECT ON streams TO yeoul_app;

-- An event is seen by whoever sees its job or its shared stream: the sub-selects run under their own policies.
CREATE POLICY events_own ON events FOR SELECT TO yeoul_app
    USING (EXISTS (SELECT FROM jobs j WHERE j.id = stream_id) OR EXISTS (SELECT FROM streams s WHERE s.id = stream_id));
GRANT SELECT ON events TO yeoul_app;

CREATE POLICY idempotency_keys_own ON idempotency_keys TO yeoul_app
    USING (owner_id = (SELECT current_user_id())) WITH CHECK (owner_id = (SELECT current_user_id()));
GRANT SELECT, INSERT, DELETE ON idempotency_keys TO yeoul_app;

CREATE POLICY kind_costs_read ON kind_costs FOR SELECT TO yeoul_app USING (true);
GRANT SELECT ON kind_costs TO yeoul_app;

-- Functions: nobody by default, then who needs which.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA yeoul FROM PUBLIC;
GRANT EXECUTE ON FUNCTION current_user_id(), submit_job, submit_jobs, cancel_job, queue_place TO yeoul_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA yeoul TO yeoul_service;

-- Readiness compares the schema's version.
GRANT SELECT ON alembic_version TO yeoul_app, yeoul_service;
