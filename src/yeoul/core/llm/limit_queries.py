"""The SQL of model limits, named; what it calls is in the migrations."""

TAKE = """
SELECT granted, why, wait, weight, used_at, probe, watched
FROM take_model_call(%(scopes)s, %(requests)s, %(tokens)s, %(window)s, %(asked)s, %(reply)s, %(caller)s, %(patience)s,
                     %(probe_seconds)s, %(now)s)
"""
"""Asks to make one call; see the function."""

SETTLE = """
SELECT settle_model_call(%(scopes)s, %(limited)s, %(window)s, %(used_at)s, %(weight)s, %(spent)s, %(reply)s, %(caller)s,
                         %(probe)s, %(outcome)s, %(hold)s, %(failures)s, %(rest)s, %(now)s)
"""
"""Says how a call ended; see the function."""

STATES = """
SELECT m.scope,
       m.open_until IS NOT NULL,
       coalesce(greatest(extract(epoch FROM m.open_until - clock_timestamp()), 0), 0)::float8,
       coalesce(greatest(extract(epoch FROM m.hold_until - clock_timestamp()), 0), 0)::float8,
       (SELECT count(*) FROM model_waits w WHERE w.scope = m.scope AND w.due IS NOT NULL)
FROM model_meters m
WHERE m.open_until IS NOT NULL OR m.hold_until > clock_timestamp()
   OR EXISTS (SELECT FROM model_waits w WHERE w.scope = m.scope AND w.due IS NOT NULL)
ORDER BY m.scope
"""
"""Models that take no calls, or for which jobs wait: whether the breaker is open, the seconds it and a hold last."""

FORGET = "SELECT forget_model_waits()"
"""Forgets what nobody waits for any more."""
