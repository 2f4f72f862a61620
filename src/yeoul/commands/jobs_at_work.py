"""What ``yeoul jobs`` does: it calls the services that the API calls, in the scope of the jobs' owner."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from yeoul.commands import database
from yeoul.commands.answer import Answer
from yeoul.commands.following import Process, process, see_through, somebody_works, stop_signal
from yeoul.commands.session import acting_as, opened, owner_of, quiet
from yeoul.commands.terminal import local_time, plain, print_json, print_table, run, say
from yeoul.core.auth.principal import Principal
from yeoul.core.base.pagination import Page
from yeoul.core.events.schemas import Event
from yeoul.core.jobs import repository, service
from yeoul.core.jobs.schemas import TERMINAL, JobOut
from yeoul.core.runtime import submit
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings

_LONGEST = 100
"""Characters of an event's data shown to a person; ``--json`` shows all."""


@dataclass(frozen=True)
class Wanted:
    """Which jobs to list."""

    status: str | None
    kind: str | None
    limit: int
    cursor: str | None
    email: str | None


def listing(settings: Settings, wanted: Wanted, *, as_json: bool) -> None:
    """Prints a page of a user's jobs."""
    quiet(settings)
    with database.ready(settings) as urls:
        page = run(_page(urls, wanted))
    if as_json:
        print_json(page.model_dump(mode="json"))
    elif page.items:
        print_table(("id", "kind", "status", "created", "took", ""), [_row(job) for job in page.items])
        if page.next_cursor is not None:
            say(f"More: yeoul jobs list --cursor {page.next_cursor}", "dim")
    elif (wanted.status, wanted.kind, wanted.cursor) == (None, None, None):
        say('No jobs yet. Ask something: yeoul run "Name three rivers."')
    else:
        say("No job is like that.")


def show(settings: Settings, job_id: UUID, *, as_json: bool) -> None:
    """Prints one job."""
    quiet(settings)
    with database.ready(settings) as urls:
        job = run(_read(urls, job_id))
    print_json(job.model_dump(mode="json")) if as_json else _print_job(job)


def events(settings: Settings, job_id: UUID, after: int, *, follow: bool, as_json: bool) -> None:
    """Prints a job's events after a cursor; with ``follow``, until its end."""
    quiet(settings)
    with database.ready(settings) as urls:
        run(_events(settings, urls, job_id, after, follow=follow, as_json=as_json))


def cancel(settings: Settings, job_id: UUID, wait: float, *, as_json: bool) -> None:
    """Cancels a job, and waits for its worker to stop."""
    quiet(settings)
    with database.ready(settings) as urls:
        before, job = run(_cancel(settings, urls, job_id, wait))
    if as_json:
        print_json(job.model_dump(mode="json"))
    elif before in TERMINAL:
        say(f"It had ended before: {before}.")
    elif job.status in TERMINAL:
        say(f"{job.status.capitalize()}.")
    else:
        say("It is asked to stop; its worker has yet to do so.", "yellow")


def retry(settings: Settings, job_id: UUID, *, follow: bool, as_json: bool) -> int:
    """Submits a job again; with ``follow``, shows its answer and gives its exit code."""
    quiet(settings)
    with database.ready(settings) as urls:
        return run(_retry(settings, urls, job_id, follow=follow, as_json=as_json))


async def _page(urls: DatabaseUrls, wanted: Wanted) -> Page[JobOut]:
    async with opened(urls) as db:
        user = await acting_as(db, wanted.email)
        async with db.as_user(user.user_id) as session:
            return await service.listing(
                session, status=wanted.status, kind=wanted.kind, cursor=wanted.cursor, limit=wanted.limit
            )


async def _read(urls: DatabaseUrls, job_id: UUID) -> JobOut:
    async with opened(urls) as db:
        owner = await owner_of(db, job_id)
        async with db.as_user(owner.user_id) as session:
            return await service.show(session, job_id)


async def _events(
    settings: Settings, urls: DatabaseUrls, job_id: UUID, after: int, *, follow: bool, as_json: bool
) -> None:
    async with process(settings, urls) as here:
        owner = await owner_of(here.services.database, job_id)
        async with here.services.database.as_user(owner.user_id) as session:
            kind = (await service.get(session, job_id)).kind
            _, last = await repository.span(session, job_id)
            watch = await service.watch(session, here.services.events, job_id, min(after, last))
        for event in watch.before:
            if (event.seq or 0) > after:
                _print_event(event, as_json=as_json)
        if after >= last and (watch.over or not follow):
            if watch.before:
                return
            say("Nothing more has happened." if last else "Nothing has happened yet: the job waits in the queue.")
            return
        if follow and not watch.over and not await somebody_works(here.services, kind):
            say("No worker is running: nothing happens until `yeoul serve` or `yeoul worker` runs.", "yellow")
        async with watch.subscription, aclosing(watch.subscription.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    if (event.seq or 0) > after:
                        _print_event(event, as_json=as_json)
                    if not follow and event.seq == last:
                        return


async def _cancel(settings: Settings, urls: DatabaseUrls, job_id: UUID, wait: float) -> tuple[str, JobOut]:
    async with process(settings, urls) as here:
        services = here.services
        owner = await owner_of(services.database, job_id)
        async with services.database.as_user(owner.user_id) as session:
            before = (await service.get(session, job_id)).status
            await service.cancel(session, services.ringer, job_id)
        async with services.database.as_user(owner.user_id) as session:
            watch = await service.watch(session, services.events, job_id, 0)
        try:
            async with asyncio.timeout(wait), watch.subscription, aclosing(watch.subscription.batches()) as batches:
                async for _ in batches:
                    pass
        except TimeoutError:
            pass
        return before, await _state(here, owner, job_id)


async def _retry(settings: Settings, urls: DatabaseUrls, job_id: UUID, *, follow: bool, as_json: bool) -> int:
    stop = stop_signal()
    async with process(settings, urls) as here:
        db = here.services.database
        owner = await owner_of(db, job_id)
        async with db.as_user(owner.user_id, role=owner.role) as session:
            made = (await submit.retry(session, here.services, job_id)).id
        if follow:
            return await see_through(here, owner, made, Answer(as_json=as_json), stop)
        job = await _state(here, owner, made)
        idle = not await somebody_works(here.services, job.kind)
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        sys.stdout.write(f"{made}\n")
        if idle:
            say("No worker is running: it waits until `yeoul serve` or `yeoul worker` runs.", "yellow")
    return 0


async def _state(here: Process, owner: Principal, job_id: UUID) -> JobOut:
    async with here.services.database.as_user(owner.user_id) as session:
        return await service.show(session, job_id)


def _row(job: JobOut) -> tuple[str, ...]:
    note = job.error.message if job.error is not None else ""
    if job.status == "running" and job.progress is not None:
        note = " ".join(filter(None, (_percent(job.progress.percent), job.progress.message)))
    if job.cancel_requested and job.status == "running":
        note = "asked to stop"
    cut = note if len(note) <= _LONGEST else note[: _LONGEST - 1] + "…"
    return str(job.id), job.kind, job.status, local_time(job.created_at), _took(job), cut


def _percent(percent: float | None) -> str | None:
    return None if percent is None else f"{percent:.0f} %"


def _not_before(job: JobOut) -> str | None:
    if job.run_at is None:
        return "held: it follows another job of the same work"
    return local_time(job.run_at) if job.run_at > job.created_at else None


def _took(job: JobOut) -> str:
    if job.started_at is None:
        return ""
    end = job.finished_at or datetime.now(job.started_at.tzinfo)
    return f"{(end - job.started_at).total_seconds():,.1f} s"


def _print_job(job: JobOut) -> None:
    place = f", place {job.queue_position} in the queue" if job.queue_position else ""
    stopping = ", asked to stop" if job.cancel_requested and job.status == "running" else ""
    lines: list[tuple[str, str | None]] = [
        ("id", str(job.id)),
        ("kind", job.kind),
        ("status", f"{job.status}{place}{stopping}"),
        ("priority", str(job.priority)),
        ("attempt", f"{job.attempt} of {job.max_attempts}"),
        ("created", local_time(job.created_at)),
        ("not before", _not_before(job) if job.status == "queued" else None),
        ("started", local_time(job.started_at)),
        ("finished", local_time(job.finished_at)),
        ("took", _took(job)),
        ("retry of", str(job.retry_of) if job.retry_of else None),
        ("error", f"{job.error.message} ({job.error.code})" if job.error is not None else None),
    ]
    for name, value in lines:
        if value:
            sys.stdout.write(f"{name:<10}  {plain(value)}\n")
    sys.stdout.write(f"\ninput\n{_pretty(job.input)}\n")
    if job.output is not None:
        text = job.output.get("text")
        rest = {name: value for name, value in job.output.items() if name != "text" or not isinstance(text, str)}
        sys.stdout.write(f"\noutput\n{_pretty(rest)}\n")
        if isinstance(text, str):
            sys.stdout.write(f"\n{plain(text)}\n")


def _pretty(value: dict[str, Any]) -> str:
    return plain(json.dumps(value, indent=2, ensure_ascii=False))


def _print_event(event: Event, *, as_json: bool) -> None:
    data = json.loads(event.data)
    if as_json:
        line = json.dumps({"seq": event.seq, "type": event.type, "data": data}, ensure_ascii=False)
    else:
        shown = json.dumps(data["delta"] if event.type == "text" else data, ensure_ascii=False)
        cut = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
        line = f"{event.seq or '':>6}  {event.type:<10}  {plain(cut) if data else ''}".rstrip()
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
