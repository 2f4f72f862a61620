"""How an attempt ends: what its handler did, read against why it was stopped.

::

    the handler returned                     succeeded
    canceled                                 canceled
    the worker is stopping                   queued at once; the attempt does not count
    its model takes no calls for now         queued until its turn comes; the attempt does not count
    a YeoulError that is not retryable       failed
    a retryable one, a timeout, a bug        queued after the kind's backoff, or failed when the attempts are used up
    the lease is lost                        nothing: another worker has the job
"""

import asyncio
from dataclasses import dataclass

import structlog

from yeoul.core.base import json
from yeoul.core.base.errors import YeoulError
from yeoul.core.jobs.attempt import Attempt, Outcome
from yeoul.core.jobs.kinds import Kind
from yeoul.core.llm.errors import ModelHeld

log = structlog.get_logger(__name__)

SOONEST_SECONDS = 0.01
"""A job whose model takes no calls leaves the ready jobs, however soon its turn comes."""


@dataclass(frozen=True, slots=True)
class _Failure:
    error: str
    retryable: bool = True
    retry_after: float = 0


def outcome_of(kind: Kind, attempt: Attempt, call: asyncio.Task[str]) -> Outcome | None:
    """The outcome of a handler's call that has ended, or was abandoned; null when it is no longer ours to end.

    ``call`` gives the output as JSON.
    """
    ended = call.done() and not call.cancelled()
    raised = call.exception() if ended else None
    if attempt.stop_reason == "lost":
        return None
    if ended and raised is None and attempt.stop_reason != "broken":
        return Outcome("succeeded", output=call.result())
    if not call.done():
        log.error("the handler does not end although it was cancelled; going on without it")
    if attempt.stop_reason == "cancel":
        return Outcome("canceled")
    if attempt.stop_reason == "drain":
        error = _error("worker_stopping", "The worker was stopped; another goes on.")
        return Outcome("queued", error=error, given_back=True)
    failure = _failure(kind, attempt, raised)
    waits = isinstance(raised, ModelHeld) and attempt.stop_reason is None
    if not waits and (not failure.retryable or attempt.attempt >= attempt.max_attempts):
        return Outcome("failed", error=failure.error)
    delay = max(failure.retry_after, SOONEST_SECONDS if waits else kind.backoff.seconds(attempt.attempt))
    return Outcome("queued", error=failure.error, delay=delay, given_back=waits)


def _failure(kind: Kind, attempt: Attempt, raised: BaseException | None) -> _Failure:
    if attempt.stop_reason == "timeout":
        return _Failure(_error("timeout", f"The attempt took longer than {kind.timeout:g} seconds."))
    if isinstance(raised, YeoulError):
        what = "the job waits for its model" if isinstance(raised, ModelHeld) else "the handler failed"
        log.info(what, code=raised.code, error=raised.detail)
        error = json.dumps({"code": raised.code, "message": raised.detail, **raised.extra})
        return _Failure(error, raised.retryable, raised.retry_after or 0)
    log.error("the handler broke", exc_info=raised)
    return _Failure(_error("internal", "Something went wrong in our code. The log has it under this job's id."))


def _error(code: str, message: str) -> str:
    return json.dumps({"code": code, "message": message})
