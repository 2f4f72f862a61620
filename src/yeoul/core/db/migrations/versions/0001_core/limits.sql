-- What models may be asked, by all processes together: limits of requests and tokens, holds that a provider asked for, and
-- circuit breakers. A scope is a provider ('openai') or one model of it ('openai/gpt-4.1-mini').

CREATE TABLE model_meters (
    scope       text PRIMARY KEY,
    failures    integer NOT NULL DEFAULT 0,   -- of the provider, in a row
    failed_at   timestamptz,
    opens       integer NOT NULL DEFAULT 0,   -- times in a row that the breaker has opened
    open_until  timestamptz,                  -- null: closed; future: open; past: half-open
    probe_until timestamptz,                  -- somebody is trying: nobody else does before this
    hold_until  timestamptz,                  -- the provider takes no calls before this
    holds       integer NOT NULL DEFAULT 0,   -- times in a row that it said so
    reply       double precision,             -- tokens of its answers, a moving average
    touched_at  timestamptz NOT NULL DEFAULT now()
);

-- Calls let through in the last window, added up by sixtieths of it.
CREATE TABLE model_uses (
    scope    text NOT NULL,
    at       timestamptz NOT NULL,            -- where the sixtieth begins
    requests integer NOT NULL,
    tokens   bigint NOT NULL,
    PRIMARY KEY (scope, at)
);

-- Jobs that were turned away, in their order: by priority, then by turns among owners, as in the queue itself. `place` is a
-- start tag: one more than that of the owner's last, and no less than that of who is first when they come.
CREATE TABLE model_waits (
    scope    text NOT NULL,
    caller   uuid NOT NULL,                   -- the job
    owner_id uuid NOT NULL,                   -- whose job it is
    lane     smallint NOT NULL,               -- 0 is the highest priority
    place    bigint NOT NULL,
    since    timestamptz NOT NULL,
    due      timestamptz,                     -- when it was told to come back; null: it is being served
    weight   bigint NOT NULL,                 -- tokens it will ask for
    PRIMARY KEY (scope, caller)
);
CREATE INDEX model_waits_place  ON model_waits (scope, lane, place, since, caller) WHERE due IS NOT NULL;
CREATE INDEX model_waits_owner  ON model_waits (scope, owner_id, lane, place);
CREATE INDEX model_waits_caller ON model_waits (caller);

-- Asks to make one call. `p_scopes`: what limits it, the model last; `p_requests` and `p_tokens`: their limits in any
-- `p_window` seconds, null for none. `p_asked` tokens go in and at most `p_reply` come out (null: unknown). `p_caller` is a
-- job, which then has its place in the line; null: somebody who does not wait. A job waits `p_patience` seconds at most.
-- A try of a provider that failed counts as given up after `p_probe` seconds. `p_now` is for tests.
--
-- Not granted: `why` is 'spent' (our limits), 'held' (the provider's word), 'open' (the breaker) or 'late' (patience is
-- over), and `wait` the seconds after which to come back. Those who wait come back one after another, in their
-- order, as fast as the limits refill. Granted: hand `weight`, `used_at` and `probe` to
-- settle_model_call; without `watched` there is nothing to settle but a failure.
--
-- Held locks: the scopes' rows, in the order of their names, for this one statement.
CREATE FUNCTION take_model_call(p_scopes text[], p_requests integer[], p_tokens bigint[], p_window double precision,
                                p_asked bigint, p_reply bigint, p_caller uuid, p_patience double precision,
                                p_probe double precision, p_now timestamptz)
RETURNS TABLE (granted boolean, why text, wait double precision, weight bigint, used_at timestamptz, probe boolean,
               watched boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    model   text := p_scopes[cardinality(p_scopes)];
    limited boolean := EXISTS (SELECT FROM unnest(p_requests, p_tokens) l(r, t) WHERE r IS NOT NULL OR t IS NOT NULL);
    span    interval := make_interval(secs => p_window);
    width   interval := make_interval(secs => p_window / 60);
    m       model_meters;
    now_    timestamptz := coalesce(p_now, clock_timestamp());
    began   timestamptz;
    whose   uuid;
    mine    smallint;
    spot    bigint;
    spots   bigint[];
    need    bigint;
    tries   boolean := false;
    reason  text;
    free    timestamptz;         -- when there will be room
    fits    timestamptz;
    behind  double precision := 0;  -- seconds that those ahead in the line will take
    ahead   record;
    used    record;
    most_r  integer;
    most_t  bigint;
    last    CONSTANT uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    most_ahead CONSTANT integer := 2000;  -- so many are counted; who is further back comes some time after them
BEGIN
    SELECT * INTO m FROM model_meters WHERE scope = model;
    IF NOT limited AND NOT EXISTS (SELECT FROM model_waits WHERE scope = model AND caller = p_caller)
        AND (m.scope IS NULL OR (m.failures = 0 AND m.holds = 0 AND m.open_until IS NULL
                                 AND coalesce(m.hold_until <= now_, true))) THEN
        RETURN QUERY SELECT true, NULL::text, 0::double precision, 0::bigint, NULL::timestamptz, false, false;
        RETURN;
    END IF;
    INSERT INTO model_meters (scope) SELECT s FROM unnest(p_scopes) s
        WHERE NOT EXISTS (SELECT FROM model_meters WHERE scope = s) ORDER BY s ON CONFLICT DO NOTHING;
    PERFORM FROM model_meters WHERE scope = ANY (p_scopes) ORDER BY scope FOR UPDATE;
    SELECT * INTO m FROM model_meters WHERE scope = model;
    now_ := coalesce(p_now, clock_timestamp());  -- after the locks, so that it never runs backwards
    SELECT w.since INTO began FROM model_waits w WHERE w.scope = model AND w.caller = p_caller;
    SELECT j.owner_id, 9 - j.priority INTO whose, mine FROM jobs j WHERE j.id = p_caller;
    mine := CASE WHEN p_caller IS NULL THEN 9 ELSE coalesce(mine, 4) END;
    whose := coalesce(whose, '00000000-0000-0000-0000-000000000000');
    need := p_asked + least(p_reply, round(coalesce(m.reply, 500))::bigint);
    free := now_;

    IF m.open_until > now_ THEN
        reason := 'open';
        free := m.open_until;
    ELSIF m.probe_until > now_ THEN
        reason := 'open';
        free := least(m.probe_until, now_ + interval '5 seconds');
    ELSE
        tries := m.open_until IS NOT NULL;
    END IF;
    IF m.hold_until > now_ THEN
        reason := coalesce(reason, 'held');
        free := greatest(free, m.hold_until);
    END IF;

    FOR i IN 1..cardinality(p_scopes) LOOP
        most_r := p_requests[i];
        most_t := p_tokens[i];
        SELECT w.place INTO spot FROM model_waits w WHERE w.scope = p_scopes[i] AND w.caller = p_caller;
        IF spot IS NULL THEN
            spot := greatest(
                (SELECT min(w.place) FROM model_waits w
                 WHERE w.scope = p_scopes[i] AND w.lane = mine AND w.due IS NOT NULL),
                (SELECT max(w.place) + 1 FROM model_waits w
                 WHERE w.scope = p_scopes[i] AND w.owner_id = whose AND w.lane = mine), 0);
        END IF;
        IF p_caller IS NULL THEN
            spot := 9223372036854775807;  -- who has no place in the line is behind all of it
        END IF;
        spots[i] := spot;
        -- Those before us: all of them, and those who will want their share before ours is free again. Who did not come
        -- back when it was told to has been canceled, or finds no worker: its place is kept, no budget.
        SELECT count(*) AS calls, coalesce(sum(w.weight), 0) AS tokens,
               count(*) FILTER (WHERE w.due <= now_ + span) AS soon_calls,
               coalesce(sum(w.weight) FILTER (WHERE w.due <= now_ + span), 0) AS soon_tokens
        INTO ahead FROM (
            SELECT w.due, w.weight FROM model_waits w
            WHERE w.scope = p_scopes[i] AND w.due > now_ - span / 6
                AND (w.lane, w.place, w.since, w.caller) < (mine, spot, coalesce(began, now_), coalesce(p_caller, last))
            ORDER BY w.lane, w.place, w.since, w.caller LIMIT most_ahead) w;
        IF most_r IS NULL AND most_t IS NULL THEN  -- nothing paces them: a few at a time
            behind := greatest(behind, least(ahead.calls * 0.05, 30));
            CONTINUE;
        END IF;
        SELECT coalesce(sum(u.requests), 0) AS calls, coalesce(sum(u.tokens), 0) AS tokens
        INTO used FROM model_uses u WHERE u.scope = p_scopes[i] AND u.at > now_ - span - width;
        -- A sixtieth more than the window, since that is how uses are counted, and a little for rounding.
        behind := greatest(behind, ahead.calls * p_window * 1.02 / most_r, ahead.tokens * p_window * 1.02 / most_t)
            * CASE WHEN ahead.calls < most_ahead THEN 1 ELSE 1 + random() END;
        CONTINUE WHEN coalesce(used.calls + ahead.soon_calls + 1 <= most_r, true)
            AND coalesce(used.tokens + ahead.soon_tokens + least(need, most_t) <= most_t, true);
        reason := coalesce(reason, 'spent');
        SELECT min(b.at) + width + span INTO fits FROM (
            SELECT u.at, sum(u.requests) OVER w AS calls, sum(u.tokens) OVER w AS tokens
            FROM model_uses u WHERE u.scope = p_scopes[i] AND u.at > now_ - span - width WINDOW w AS (ORDER BY u.at)) b
        WHERE coalesce(used.calls - b.calls + 1 <= most_r, true)
            AND coalesce(used.tokens - b.tokens + least(need, most_t) <= most_t, true);
        IF coalesce(used.calls + 1 > most_r, false) OR coalesce(used.tokens + least(need, most_t) > most_t, false) THEN
            free := greatest(free, fits);
        END IF;
    END LOOP;

    IF reason IS NULL THEN
        INSERT INTO model_uses AS u (scope, at, requests, tokens)
        SELECT l.s, date_bin(width, now_, 'epoch'), 1, need FROM unnest(p_scopes, p_requests, p_tokens) l(s, r, t)
        WHERE l.r IS NOT NULL OR l.t IS NOT NULL
        ON CONFLICT (scope, at) DO UPDATE SET requests = u.requests + 1, tokens = u.tokens + excluded.tokens;
        DELETE FROM model_uses u WHERE u.scope = ANY (p_scopes) AND u.at <= now_ - span - width;
        IF began IS NOT NULL THEN
            UPDATE model_waits SET due = NULL WHERE scope = ANY (p_scopes) AND caller = p_caller;
        END IF;
        IF tries THEN
            UPDATE model_meters SET probe_until = now_ + make_interval(secs => p_probe) WHERE scope = model;
        END IF;
        RETURN QUERY SELECT true, NULL::text, 0::double precision, need, date_bin(width, now_, 'epoch'), tries, true;
        RETURN;
    END IF;

    free := greatest(free + make_interval(secs => behind), now_ + interval '10 milliseconds');
    IF p_caller IS NOT NULL THEN
        began := coalesce(began, now_);
        IF now_ >= began + make_interval(secs => p_patience) THEN
            reason := 'late';
            DELETE FROM model_waits WHERE scope = ANY (p_scopes) AND caller = p_caller;
        ELSE
            free := least(free, began + make_interval(secs => p_patience));
            INSERT INTO model_waits (scope, caller, owner_id, lane, place, since, due, weight)
            SELECT l.s, p_caller, whose, mine, l.n, began, free, need FROM unnest(p_scopes, spots) l(s, n)
            ON CONFLICT (scope, caller) DO UPDATE SET due = excluded.due, weight = excluded.weight;
        END IF;
    END IF;
    RETURN QUERY SELECT false, reason, extract(epoch FROM free - now_)::double precision, need, NULL::timestamptz, false, true;
END $$;

-- Says how a call ended that take_model_call let through. `p_limited`: those of its scopes that have limits. `p_tokens`: what
-- it used in truth, null when nobody knows; what it took too much is given back, what it took too little is taken now.
-- `p_outcome`: 'ok', 'answered' (an error, but the provider works), 'failed' (it does not), 'held' (it takes no
-- more) or 'left' (we ended it). `p_hold`: seconds in which the provider said it takes none; null: it did not say. The breaker opens after `p_failures` failures in a row
-- (0: never), for `p_rest` seconds at first and twice as long each further time, 5 minutes at most.
-- Returns the seconds from now in which the model takes no calls: 0 when it does.
CREATE FUNCTION settle_model_call(p_scopes text[], p_limited text[], p_window double precision, p_used_at timestamptz,
                                  p_weight bigint, p_tokens bigint, p_reply bigint, p_caller uuid, p_probe boolean,
                                  p_outcome text, p_hold double precision, p_failures integer, p_rest double precision,
                                  p_now timestamptz)
RETURNS double precision
LANGUAGE plpgsql SET search_path = pg_catalog, yeoul, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    model text := p_scopes[cardinality(p_scopes)];
    m     model_meters;
    now_  timestamptz;
BEGIN
    INSERT INTO model_meters (scope) SELECT model
        WHERE NOT EXISTS (SELECT FROM model_meters WHERE scope = model) ON CONFLICT DO NOTHING;
    PERFORM FROM model_meters WHERE scope = ANY (p_scopes) ORDER BY scope FOR UPDATE;
    SELECT * INTO m FROM model_meters WHERE scope = model;
    now_ := coalesce(p_now, clock_timestamp());

    IF p_tokens < p_weight THEN
        UPDATE model_uses SET tokens = greatest(tokens + p_tokens - p_weight, 0)
        WHERE scope = ANY (p_limited) AND at = p_used_at;
    ELSIF p_tokens > p_weight THEN
        INSERT INTO model_uses AS u (scope, at, requests, tokens)
        SELECT s, date_bin(make_interval(secs => p_window / 60), now_, 'epoch'), 0, p_tokens - p_weight
        FROM unnest(p_limited) s
        ON CONFLICT (scope, at) DO UPDATE SET tokens = u.tokens + excluded.tokens;
    END IF;
    IF p_outcome IN ('ok', 'answered') AND p_caller IS NOT NULL THEN
        DELETE FROM model_waits WHERE scope = ANY (p_scopes) AND caller = p_caller;
    END IF;

    m.touched_at := now_;
    IF p_probe THEN
        m.probe_until := NULL;
    END IF;
    IF p_outcome = 'failed' THEN
        IF p_probe OR m.open_until IS NULL THEN  -- calls begun before it opened say nothing new
            m.failures := CASE WHEN m.failed_at > now_ - interval '5 minutes' THEN m.failures ELSE 0 END + 1;
            m.failed_at := now_;
            IF p_failures > 0 AND (p_probe OR m.failures >= p_failures) THEN
                m.open_until := now_ + make_interval(secs => least(p_rest * 2 ^ least(m.opens, 20), greatest(300, p_rest)));
                m.opens := m.opens + 1;
            END IF;
        END IF;
    ELSIF p_outcome <> 'left' AND (p_probe OR m.open_until IS NULL) THEN
        m.failures := 0;
        m.opens := 0;
        m.open_until := NULL;
    END IF;
    IF p_outcome = 'held' THEN
        m.hold_until := greatest(m.hold_until, now_ + make_interval(secs => coalesce(p_hold, least(2 ^ least(m.holds, 6), 60))));
        m.holds := m.holds + 1;
    ELSIF p_outcome = 'ok' THEN
        m.holds := 0;
        m.reply := coalesce(m.reply * 0.9 + p_reply * 0.1, p_reply, m.reply);
    END IF;
    IF p_outcome <> 'held' AND p_hold IS NOT NULL THEN
        m.hold_until := greatest(m.hold_until, now_ + make_interval(secs => p_hold));
    END IF;
    UPDATE model_meters SET failures = m.failures, failed_at = m.failed_at, opens = m.opens, open_until = m.open_until,
                            probe_until = m.probe_until, hold_until = m.hold_until, holds = m.holds, reply = m.reply,
                            touched_at = m.touched_at
    WHERE scope = model;
    RETURN greatest(extract(epoch FROM greatest(m.open_until, m.hold_until) - now_), 0)::double precision;
END $$;

-- Forgets jobs that wait no more, and models that nobody has asked for a day.
CREATE FUNCTION forget_model_waits() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, yeoul, pg_temp AS $$
BEGIN
    DELETE FROM model_waits w WHERE NOT EXISTS (
        SELECT FROM jobs j WHERE j.id = w.caller AND j.status IN ('queued', 'running'));
    DELETE FROM model_meters m WHERE m.touched_at < now() - interval '1 day' AND coalesce(m.hold_until < now(), true)
        AND NOT EXISTS (SELECT FROM model_waits w WHERE w.scope = m.scope);
END $$;
