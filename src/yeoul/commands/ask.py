"""``yeoul run``: a question, answered in the terminal by a job like any other."""

import sys
from typing import Any

from yeoul.commands import database, weights
from yeoul.commands.answer import Answer
from yeoul.commands.following import process, see_through, somebody_works, stop_signal
from yeoul.commands.session import acting_as, quiet
from yeoul.commands.terminal import CANCELED, run
from yeoul.core.jobs.schemas import JobSubmit
from yeoul.core.llm.schemas import DEFAULT_MODEL
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.runtime.submit import ADMIN_MAX_PRIORITY, submit_request
from yeoul.settings import Settings

_KIND = "llm.complete"
_ORDINARY = 5


def question_of(question: str, *, model: str, system: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
    """The job's input, without what was not said; ``-`` reads the question from standard input."""
    given = {
        "model": model,
        "prompt": sys.stdin.read() if question == "-" else question,
        "system": system,
        "parameters": {name: value for name, value in parameters.items() if value is not None} or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def ask(settings: Settings, given: dict[str, Any], *, email: str | None, stream: bool, as_json: bool) -> int:
    """Submits an ``llm.complete`` with this input, shows its answer, and gives the exit code."""
    quiet(settings)
    with database.ready(settings) as urls:
        if not database.somebody_works(urls, _KIND):
            weights.get(settings, given.get("model", DEFAULT_MODEL))
        return run(_ask(settings, urls, given, email, Answer(stream=stream, as_json=as_json)))


async def _ask(settings: Settings, urls: DatabaseUrls, given: dict[str, Any], email: str | None, answer: Answer) -> int:
    stop = stop_signal()
    async with process(settings, urls) as here:
        services = here.services
        owner = await acting_as(services.database, email)
        priority = _ORDINARY
        if not await somebody_works(services, _KIND):
            # What waits may wait for a real worker: the one of this process is there for this question.
            priority = ADMIN_MAX_PRIORITY if owner.role == "admin" else settings.user_max_priority
        if stop.is_set():
            answer.close()
            return CANCELED
        async with services.database.as_user(owner.user_id, role=owner.role) as session:
            request = JobSubmit(kind=_KIND, input=given, priority=priority)
            job = await submit_request(session, services, owner, request)
        return await see_through(here, owner, job.id, answer, stop)
