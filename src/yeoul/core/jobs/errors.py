"""What can go wrong with jobs.

::

    YeoulError
    ├─ NotFound       └─ JobNotFound
    ├─ InvalidInput   ├─ UnknownKind  ├─ InvalidJobInput  └─ IdempotencyMismatch
    ├─ Conflict       ├─ IdempotencyInFlight  ├─ JobNotFinished  └─ JobNotFailed
    ├─ Forbidden      └─ PriorityNotAllowed
    ├─ TooManyRequests └─ TooManyQueued
    └─ LostLease      (never seen by clients: another worker has the job)
"""

from yeoul.core.base.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests


class JobNotFound(NotFound):
    """No such job, or somebody else's."""

    code = "job_not_found"


class UnknownKind(InvalidInput):
    """No handler is registered under this kind."""

    code = "unknown_kind"


class InvalidJobInput(InvalidInput):
    """The input does not fit the kind's schema."""

    code = "invalid_job_input"


class PriorityNotAllowed(Forbidden):
    """A higher priority than this role may ask for."""

    code = "priority_not_allowed"


class TooManyQueued(TooManyRequests):
    """The owner has as many jobs waiting as one may have."""

    code = "too_many_queued"


class IdempotencyMismatch(InvalidInput):
    """The same Idempotency-Key came with another body."""

    code = "idempotency_mismatch"


class IdempotencyInFlight(Conflict):
    """The first request with this Idempotency-Key is still under way."""

    code = "idempotency_in_flight"


class JobNotFinished(Conflict):
    """A job that has not ended cannot be retried."""

    code = "job_not_finished"


class JobNotFailed(Conflict):
    """Many are retried because they failed; this one has succeeded."""

    code = "job_not_failed"


class LostLease(Exception):
    """This worker no longer holds the job: whatever it still does for it comes to nothing."""
