"""Group flush: fenced, repeatable, and one attempt's fault is its own."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import psycopg
import pytest

from tests.core.jobs.queue import Queue
from yeoul.core.base import json
from yeoul.core.db.database import Database
from yeoul.core.db.listen import Ringer
from yeoul.core.jobs.attempt import HIGH_WATER, Attempt, Outcome, StepResult
from yeoul.core.jobs.errors import LostLease
from yeoul.core.jobs.flusher import Flusher
from yeoul.core.runtime.services import DatabaseUrls

DONE = Outcome("succeeded", output='{"word":"done"}')
Held = Callable[..., list[Attempt]]


@pytest.fixture
async def flusher(database: Database) -> AsyncGenerator[Flusher]:
    ringer = Ringer(database)
    flusher = Flusher(database, ringer)
    yield flusher
    await flusher.stop()
    await ringer.stop()


@pytest.fixture
def held(queue: Queue) -> Held:
    """Attempts at fresh jobs of a fresh owner, as a worker has them after a claim."""

    def make(count: int = 1) -> list[Attempt]:
        owner = queue.user()
        queue.backlog(owner, count)
        return [reclaimed(job) for job in queue.claim(queue.worker(), count)]

    return make


def reclaimed(job: Any) -> Attempt:
    return Attempt(
        job_id=job.id, kind="test.echo", owner_id=job.owner_id, root_id=job.id, input="{}", attempt=job.attempt,
        max_attempts=3, epoch=job.epoch, last_seq=job.last_seq, owner_stream=job.owner_id,
    )  # fmt: skip


def takeover(queue: Queue, attempt: Attempt) -> Attempt:
    """Another worker's attempt at the same job; the first one does not know."""
    queue.expire(queue.job(attempt.job_id)["worker_id"])
    assert list(queue.sweep()) == [attempt.job_id]
    (job,) = queue.claim(queue.worker())
    assert job.id == attempt.job_id
    return reclaimed(job)


def log(queue: Queue, attempt: Attempt) -> list[str]:
    return [data["delta"] if kind == "text" else kind for _, kind, data in queue.events(attempt.job_id)]


async def test_what_is_said_is_written_before_the_end(queue: Queue, flusher: Flusher, held: Held) -> None:
    await flusher.start()
    (attempt,) = held()
    attempt.say_text("a")
    await flusher.said(attempt)
    attempt.say("usage", {})
    attempt.say_text("b")
    assert await flusher.finish(attempt, DONE) == "succeeded"
    assert log(queue, attempt) == ["started", "a", "usage", "b", "succeeded"]
    assert queue.job(attempt.job_id)["output"] == {"word": "done"}


async def test_a_stale_attempt_writes_nothing_and_the_others_everything(
    queue: Queue, flusher: Flusher, held: Held
) -> None:
    good, stale = held()[0], held()[0]
    new = takeover(queue, stale)
    for attempt in (good, stale):
        attempt.say_text("said")
    waiting = [asyncio.create_task(flusher.settle(attempt)) for attempt in (good, stale)]
    end = asyncio.create_task(flusher.finish(stale, DONE))
    await asyncio.sleep(0)
    await flusher.start()
    assert await end is None
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LostLease]
    assert (good.stop_reason, stale.stop_reason) == (None, "lost")
    assert log(queue, good) == ["started", "said"]
    assert log(queue, new) == ["started", "retrying", "started"]
    assert queue.job(new.job_id)["status"] == "running"


async def test_two_attempts_at_one_job_in_one_flush(queue: Queue, flusher: Flusher, held: Held) -> None:
    """A process that was paused past its lease may be the first to claim its own job again."""
    (stale,) = held()
    new = takeover(queue, stale)
    for attempt, word in ((stale, "stale"), (new, "new")):
        attempt.say_text(word)
        attempt.say("progress", {"percent": len(word), "message": word})
        attempt.say("step", {"name": word}, StepResult(word, "1"))
    ends = [asyncio.create_task(flusher.finish(attempt, DONE)) for attempt in (stale, new)]
    await asyncio.sleep(0)
    await flusher.start()
    assert await asyncio.gather(*ends) == [None, "succeeded"]
    assert (stale.stop_reason, new.stop_reason) == ("lost", None)
    assert log(queue, new) == ["started", "retrying", "started", "new", "progress", "step", "succeeded"]
    assert queue.job(new.job_id)["progress"] == {"percent": 3, "message": "new"}
    assert queue.service.execute("SELECT name FROM steps").fetchall() == [{"name": "new"}]


async def test_a_write_whose_answer_was_lost_is_repeated_without_effect(
    queue: Queue, flusher: Flusher, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed, and then the connection breaks: nobody knows, so it is sent again."""
    answers: list[str] = []
    fetch = flusher._line.fetch

    async def breaking(query: Any, arguments: Any = ()) -> Any:
        rows = await fetch(query, arguments)
        answers.append(query)
        if answers.count(query) == 1:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return rows

    monkeypatch.setattr(flusher._line, "fetch", breaking)
    await flusher.start()
    (attempt,) = held()
    attempt.say_text("once")
    attempt.say("step", {"name": "one"}, StepResult("one", "1"))
    await flusher.settle(attempt)
    assert attempt.stop_reason is None
    await flusher.finish(attempt, DONE)
    assert sorted(map(answers.count, set(answers))) == [2, 2]
    assert log(queue, attempt) == ["started", "once", "step", "succeeded"]
    assert queue.job(attempt.job_id)["status"] == "succeeded"


async def test_a_flush_waits_for_a_database_that_is_away(
    queue: Queue, flusher: Flusher, held: Held, urls: DatabaseUrls
) -> None:
    there, flusher._line._url = flusher._line._url, "postgresql://nobody@/nothing?host=/nowhere"
    await flusher.start()
    (attempt,) = held()
    attempt.say_text("kept")
    settled = asyncio.create_task(flusher.settle(attempt))
    done, _ = await asyncio.wait({settled}, timeout=0.3)
    assert not done
    flusher._line._url = there
    await settled
    assert log(queue, attempt) == ["started", "kept"]


async def test_what_the_database_refuses_breaks_one_attempt(
    queue: Queue, flusher: Flusher, held: Held, urls: DatabaseUrls
) -> None:
    with psycopg.connect(urls.admin or "", autocommit=True) as admin:
        admin.execute("ALTER TABLE yeoul.events ADD CHECK (data::text NOT LIKE '%poison%')")
    attempts = held(3)
    for attempt, word in zip(attempts, ("a", "poison", "b"), strict=True):
        attempt.say_text(word)
    settled = [asyncio.create_task(flusher.settle(attempt)) for attempt in attempts]
    await asyncio.sleep(0)
    await flusher.start()
    results = await asyncio.gather(*settled, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LostLease, type(None)]
    assert [attempt.stop_reason for attempt in attempts] == [None, "broken", None]
    assert [log(queue, attempt) for attempt in attempts] == [["started", "a"], ["started"], ["started", "b"]]
    again = Outcome("queued", error='{"code":"internal","message":"x"}')
    assert await flusher.finish(attempts[1], again) == "queued"  # it is still ours to end


async def test_what_cannot_even_be_sent_breaks_one_attempt(queue: Queue, flusher: Flusher, held: Held) -> None:
    attempts = held(3)
    for attempt, name in zip(attempts, ("fine", "\ud800", "\0"), strict=True):
        attempt.say("step", {}, StepResult(name, "1"))
    settled = [asyncio.create_task(flusher.settle(attempt)) for attempt in attempts]
    await asyncio.sleep(0)
    await flusher.start()
    await asyncio.gather(*settled, return_exceptions=True)
    assert [attempt.stop_reason for attempt in attempts] == [None, "broken", "broken"]
    assert log(queue, attempts[0]) == ["started", "step"]


async def test_a_result_that_is_refused_fails_one_job(
    queue: Queue, flusher: Flusher, held: Held, urls: DatabaseUrls
) -> None:
    with psycopg.connect(urls.admin or "", autocommit=True) as admin:
        admin.execute("ALTER TABLE yeoul.jobs ADD CHECK (output->>'word' <> 'poison')")
    good, bad = held(2)
    ends = [
        asyncio.create_task(flusher.finish(good, DONE)),
        asyncio.create_task(flusher.finish(bad, Outcome("succeeded", output='{"word":"poison"}'))),
    ]
    await asyncio.sleep(0)
    await flusher.start()
    assert await asyncio.gather(*ends) == ["succeeded", "failed"]
    assert log(queue, good) == ["started", "succeeded"]
    assert log(queue, bad) == ["started", "failed"]
    assert queue.job(bad.job_id)["error"]["code"] == "internal"


async def test_last_words_that_are_refused_spoil_a_success(
    queue: Queue, flusher: Flusher, held: Held, urls: DatabaseUrls
) -> None:
    """A stream that lacks what its job said must not end as if all were well."""
    with psycopg.connect(urls.admin or "", autocommit=True) as admin:
        admin.execute("ALTER TABLE yeoul.events ADD CHECK (data::text NOT LIKE '%poison%')")
    (attempt,) = held()
    attempt.say_text("poison")
    await flusher.start()
    assert await flusher.finish(attempt, DONE) == "failed"
    assert log(queue, attempt) == ["started", "failed"]


async def test_giving_back_is_fenced(queue: Queue, flusher: Flusher, held: Held) -> None:
    mine, stale = held()[0], held()[0]
    await flusher.give_back([(stale.job_id, stale.epoch + 1), mine.fence])
    assert (queue.job(mine.job_id)["status"], queue.job(mine.job_id)["attempt"]) == ("queued", 0)
    assert queue.job(stale.job_id)["status"] == "running"


async def test_who_has_said_too_much_waits_for_the_log(queue: Queue, flusher: Flusher, held: Held) -> None:
    (attempt,) = held()
    attempt.say_text("x" * (HIGH_WATER - 1))
    await asyncio.wait_for(flusher.said(attempt), 5)  # returns although nobody writes
    attempt.say_text("xx")
    waiting = asyncio.create_task(flusher.said(attempt))
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    await flusher.start()
    await asyncio.wait_for(waiting, 5)
    assert "".join(log(queue, attempt)[1:]) == "x" * (HIGH_WATER + 1)


async def test_a_hundred_thousand_events(queue: Queue, flusher: Flusher, held: Held) -> None:
    """Of ten jobs at once: all there, in order, and in seconds."""
    await flusher.start()
    attempts = held(10)

    async def run(attempt: Attempt) -> str | None:
        for n in range(10_000):
            attempt.say("tick", n)
            await flusher.said(attempt)
        return await flusher.finish(attempt, DONE)

    async with asyncio.timeout(60):
        assert await asyncio.gather(*map(run, attempts)) == ["succeeded"] * 10
    for attempt in attempts:
        row = queue.service.execute(
            "SELECT count(*) AS events, max(seq) AS last,"
            " bool_and(data::text = (seq - 2)::text) FILTER (WHERE type = 'tick') AS in_order"
            " FROM events WHERE stream_id = %s",
            [attempt.job_id],
        ).fetchone()
        assert row == {"events": 10_002, "last": 10_002, "in_order": True}


@pytest.mark.parametrize("text", ["a\0b", "\ud83d", "\ud83d\ude00", "가나다\ud800", "\u2028\r\n\x1b"])
async def test_any_text_comes_back(queue: Queue, flusher: Flusher, held: Held, text: str) -> None:
    await flusher.start()
    (attempt,) = held()
    attempt.say_text(text)
    attempt.say("component", {"key": text, text: 1})
    assert await flusher.finish(attempt, Outcome("succeeded", output=json.dumps({"text": text}))) == "succeeded"
    clean = json.clean_text(text)
    assert log(queue, attempt) == ["started", clean, "component", "succeeded"]
    assert queue.job(attempt.job_id)["output"] == {"text": clean}
