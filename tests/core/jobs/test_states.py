"""A job's life in the database: every change writes its event, terminal rows stay, and the numbers have no gaps."""

import re
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.jobs.queue import Claimed, Queue

TERMINAL = {"succeeded", "failed", "canceled"}


def kinds(events: list[tuple[int, str, Any]]) -> list[str]:
    assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1))
    return [kind for _, kind, _ in events]


def statuses(queue: Queue, owner: UUID) -> list[str]:
    """What the owner's own stream says, in order."""
    events = queue.user_events(owner)
    assert kinds(events) == ["job"] * len(events)
    return [data["status"] for _, _, data in events]


def ended(queue: Queue, status: str) -> tuple[UUID, UUID]:
    """A job that has ended so, and its owner."""
    owner = queue.user()
    (job_id,) = queue.backlog(owner, 1)
    if status == "canceled":
        queue.cancel(owner, job_id)
    else:
        (claimed,) = queue.claim(queue.worker())
        assert queue.finish(claimed, status) == status
    return job_id, owner


def test_a_whole_life(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    (job_id,) = queue.backlog(owner, 1)
    assert kinds(queue.events(job_id)) == []
    (first,) = queue.claim(worker)
    assert queue.say(first, 2)
    assert queue.finish(first, "queued", delay=0.001) == "queued"
    assert queue.job(job_id)["fair_at"] is None
    while not queue.ready_due():
        pass
    (second,) = queue.claim(worker)
    assert queue.say(second, 5)
    assert queue.finish(second) == "succeeded"
    events = queue.events(job_id)
    assert kinds(events) == ["started", "text", "retrying", "started", "text", "succeeded"]
    assert [data["attempt"] for _, kind, data in events if kind == "started"] == [1, 2]
    (retrying,) = (data for _, kind, data in events if kind == "retrying")
    assert retrying.pop("in_seconds") <= 0.001
    assert retrying == {"attempt": 2, "void_after": 0, "error": {"code": "test", "message": "no"}}
    assert events[-1][2] == {"output": {}}
    assert statuses(queue, owner) == ["queued", "running", "queued", "running", "succeeded"]
    job = queue.job(job_id)
    assert (job["attempt"], job["epoch"], job["error"], job["worker_id"]) == (2, 2, None, None)


def test_a_finished_step_keeps_its_text(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 1)
    (job,) = queue.claim(worker)
    queue.say(job, 2)
    queue.say(job, 3, "step", '{"name":"one"}', step="one")
    queue.say(job, 4)
    queue.finish(job, "queued")
    assert [data["void_after"] for _, kind, data in queue.events(job.id) if kind == "retrying"] == [3]


def test_one_statement_over_many_jobs_writes_for_each(queue: Queue) -> None:
    owners, worker = [queue.user() for _ in range(3)], queue.worker()
    ids = [job_id for owner in owners for job_id in queue.backlog(owner, 5)]
    assert len(queue.claim(worker, 50)) == 15
    assert all(kinds(queue.events(job_id)) == ["started"] for job_id in ids)
    assert all(statuses(queue, owner) == ["queued"] * 5 + ["running"] * 5 for owner in owners)


def test_a_cancel_of_a_running_job_is_a_wish(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    (job_id,) = queue.backlog(owner, 1)
    (job,) = queue.claim(worker)
    assert queue.cancel(owner, job_id) == "running"
    assert queue.cancel(owner, job_id) == "running"
    assert kinds(queue.events(job_id)) == ["started"]
    assert statuses(queue, owner) == ["queued", "running", "running"]  # the second wish says nothing new
    assert queue.finish(job, "succeeded") == "canceled"  # what reached the row first wins
    assert queue.cancel(owner, job_id) == "canceled"
    assert kinds(queue.events(job_id)) == ["started", "canceled"]
    assert (queue.job(job_id)["output"], queue.job(job_id)["error"]) == (None, None)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_ended_job_never_changes(queue: Queue, status: str) -> None:
    job_id, owner = ended(queue, status)
    before, events = queue.job(job_id), queue.events(job_id)
    for change in (
        "status = 'queued', finished_at = NULL",
        "status = 'queued', finished_at = NULL, retry_of = id",
        "output = '[]', retry_of = NULL",
        "attempt = attempt + 1",
        "progress = '{}'",
        "cancel_requested = NOT cancel_requested",
        "owner_id = owner_id, priority = 9",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="never changes again"):
            queue.service.execute(f"UPDATE jobs SET {change} WHERE id = %s".encode(), [job_id])  # noqa: S608
    assert queue.cancel(owner, job_id) == status
    assert queue.finish(Claimed(job_id, owner, before["epoch"], 1, 1), "succeeded") is None
    assert queue.sweep() == {}
    assert queue.claim(queue.worker()) == []
    assert queue.job(job_id) == before
    assert queue.events(job_id) == events


def test_a_deleted_job_leaves_its_retries(queue: Queue) -> None:
    job_id, owner = ended(queue, "failed")
    retry = queue.submit(owner, retry_of=job_id)
    assert retry is not None
    queue.cancel(owner, retry)
    before = queue.job(retry)
    assert (before["retry_of"], before["root_id"]) == (job_id, job_id)
    queue.service.execute("DELETE FROM jobs WHERE id = %s", [job_id])
    assert queue.job(retry) == {**before, "retry_of": None}


def test_a_user_who_goes_takes_everything_along(queue: Queue) -> None:
    _, owner = ended(queue, "succeeded")
    queue.backlog(owner, 1)
    queue.service.execute("DELETE FROM users WHERE id = %s", [owner])
    for table in ("jobs", "streams", "queue_flow"):
        assert queue.service.execute(f"SELECT FROM {table} WHERE owner_id = %s".encode(), [owner]).fetchall() == []


def test_attempts_are_counted_unless_given_back(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 1)
    seen = []
    for given_back in (True, False, True, False):
        (job,) = queue.claim(worker)
        seen.append((job.attempt, job.epoch))
        queue.finish(job, "queued", given_back=given_back)
    assert seen == [(1, 1), (1, 2), (2, 3), (2, 4)]


def test_what_is_given_back_keeps_its_place(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    first, _ = queue.backlog(owner, 2)
    (job,) = queue.claim(worker)
    queue.finish(job, "queued", given_back=True)
    assert [job.id for job in queue.claim(worker)] == [first]


class Life:
    """Some jobs, the worker that holds some of them, and those who held them before."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.owner = queue.user()
        self.worker = queue.worker()
        self.jobs = queue.backlog(self.owner, 2)
        self.holds: dict[UUID, Claimed] = {}
        self.said: dict[UUID, int] = {}
        self.late: list[Claimed] = []

    def submit(self, _: int) -> None:
        self.jobs += self.queue.backlog(self.owner, 1)

    def claim(self, n: int) -> None:
        for job in self.queue.claim(self.worker, n + 1):
            self.holds[job.id], self.said[job.id] = job, job.last_seq

    def say(self, n: int) -> None:
        if self.holds:
            job = self.holds[sorted(self.holds)[n % len(self.holds)]]
            self.said[job.id] += 1
            assert self.queue.say(job, self.said[job.id])

    def succeed(self, n: int) -> None:
        self._finish(n, "succeeded")

    def fail(self, n: int) -> None:
        self._finish(n, "failed")

    def retry(self, n: int) -> None:
        self._finish(n, "queued")

    def retry_later(self, n: int) -> None:
        self._finish(n, "queued", delay=0.001)

    def give_back(self, n: int) -> None:
        self._finish(n, "queued", given_back=True)

    def _finish(self, n: int, status: str, *, delay: float = 0, given_back: bool = False) -> None:
        if self.holds:
            job = self.holds.pop(sorted(self.holds)[n % len(self.holds)])
            self.late.append(job)
            if self.queue.job(job.id)["cancel_requested"]:
                status, delay = "canceled", 0
            assert self.queue.finish(job, status, delay=delay, given_back=given_back) == status

    def cancel(self, n: int) -> None:
        self.queue.cancel(self.owner, self.jobs[n % len(self.jobs)])

    def lose(self, _: int) -> None:
        self.queue.expire(self.worker)
        assert set(self.queue.sweep()) == set(self.holds)
        self.late += self.holds.values()
        self.holds, self.worker = {}, self.queue.worker()

    def due(self, _: int) -> None:
        self.queue.ready_due()

    def speak_late(self, n: int) -> None:
        if self.late:
            job = self.late[n % len(self.late)]
            assert not self.queue.say(job, job.last_seq + 1)
            assert self.queue.finish(job) is None


OPS = st.sampled_from([name for name in vars(Life) if not name.startswith("_")])

# An attempt begins, says things, and ends in another one or for good; before the first, only a cancel ends it.
LOG = re.compile(r"(?:started (?:text )*retrying )*(?:started (?:text )*(?:succeeded |failed |canceled )?|canceled )?")
LAST = {"queued": {"", "retrying"}, "running": {"started", "text"}} | {status: {status} for status in TERMINAL}


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(OPS, st.integers(0, 5)), min_size=10, max_size=40))
def test_whatever_happens_the_log_tells_it(queue: Queue, ops: list[tuple[str, int]]) -> None:
    """In any order, late writers among them: a log has no gap, begins every attempt, and ends as its job did, once."""
    life = Life(queue)
    for op, n in ops:
        getattr(life, op)(n)
    told = statuses(queue, life.owner)
    ended = []
    for job_id in life.jobs:
        row, log = queue.job(job_id), kinds(queue.events(job_id))
        assert LOG.fullmatch("".join(f"{kind} " for kind in log)), log
        assert (log[-1] if log else "") in LAST[row["status"]]
        assert log.count("started") == row["epoch"]
        assert row["attempt"] <= row["max_attempts"]
        ended += [row["status"]] if row["status"] in TERMINAL else []
    assert sorted(ended) == sorted(status for status in told if status in TERMINAL)
