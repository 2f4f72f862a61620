"""Who is next: priority, then a fair share for every owner; and never two workers with one job."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.jobs.queue import KIND, Queue
from yeoul.core.runtime.services import DatabaseUrls


def drain(queue: Queue, worker: UUID) -> list[UUID]:
    """The owners of all waiting jobs, in the order they are claimed one at a time."""
    owners = []
    while claimed := queue.claim(worker):
        owners += [job.owner_id for job in claimed]
    return owners


def test_priority_first_then_the_order_of_submission(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    ids = {priority: queue.backlog(owner, 2, priority=priority) for priority in (1, 9, 5)}
    claimed = [job.id for _ in range(6) for job in queue.claim(worker)]
    assert claimed == ids[9] + ids[5] + ids[1]


@pytest.mark.parametrize("batch", [1, 8])
def test_one_job_behind_a_thousand_of_somebody_else(queue: Queue, batch: int) -> None:
    many, one, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(many, 1000)
    for _ in range(5):
        assert len(queue.claim(worker, batch)) == batch
    (job_id,) = queue.backlog(one, 1)
    assert job_id in {job.id for _ in range(2) for job in queue.claim(worker, batch)}


def test_a_dear_kind_uses_up_more_of_the_share(queue: Queue) -> None:
    dear, cheap, worker = queue.user(), queue.user(), queue.worker()
    queue.service.execute("INSERT INTO kind_costs (kind, average_seconds) VALUES ('dear', 10), ('cheap', 1)")
    queue.backlog(dear, 10, kind="dear")
    queue.backlog(cheap, 100, kind="cheap")
    claimed = Counter(job.owner_id for _ in range(44) for job in queue.claim(worker, 1, ["dear", "cheap"]))
    assert claimed[dear] in {4, 5}
    assert claimed[cheap] in {39, 40}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=2, max_size=8))
def test_owners_with_a_backlog_advance_together(queue: Queue, submits: list[tuple[int, int]]) -> None:
    """However they submitted, between two of them that both still wait the difference is one job."""
    users, worker = [queue.user() for _ in range(4)], queue.worker()
    left: Counter[UUID] = Counter()
    for who, jobs in submits:
        queue.backlog(users[who], jobs)
        left[users[who]] += jobs
    served: Counter[UUID] = Counter()
    for owner in drain(queue, worker):
        served[owner] += 1
        waiting = [user for user in left if served[user] < left[user]]
        assert all(abs(served[a] - served[b]) <= 1 for a, b in combinations(waiting, 2))
    assert served == left


def test_who_was_away_claims_no_arrears(queue: Queue) -> None:
    """Fairness looks at who waits, not at the past: a newcomer does not lock out who has been working all day."""
    old, new, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(old, 200)
    for _ in range(100):
        queue.claim(worker)
    queue.backlog(new, 50)
    first = Counter(job.owner_id for _ in range(20) for job in queue.claim(worker))
    assert first[old] >= 9
    assert first[new] >= 9


def test_only_known_kinds_are_claimed(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 3, kind="another.kind", priority=9)
    (mine,) = queue.backlog(owner, 1)
    assert [job.id for job in queue.claim(worker, 10)] == [mine]


@pytest.mark.parametrize("lease", [-1, None])
def test_a_worker_without_a_lease_claims_nothing(queue: Queue, lease: float | None) -> None:
    """What it took would be taken from it at once."""
    owner = queue.user()
    (job_id,) = queue.backlog(owner, 1)
    assert queue.claim(owner if lease is None else queue.worker(lease)) == []
    assert queue.job(job_id)["status"] == "queued"


def test_a_claim_knows_where_the_log_ends(queue: Queue) -> None:
    """Its own event included: the worker numbers on from there."""
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 1)
    (first,) = queue.claim(worker)
    assert (first.epoch, first.attempt, first.last_seq) == (1, 1, 1)
    assert queue.say(first, 2)
    queue.finish(first, "queued")
    (second,) = queue.claim(worker)
    assert (second.id, second.epoch, second.attempt, second.last_seq) == (first.id, 2, 2, 4)


def test_eight_claimers_never_share_a_job(queue: Queue, urls: DatabaseUrls) -> None:
    """Of several owners and priorities, in batches of all sizes, on connections of their own; and none is left over."""
    ids = [
        job_id
        for _ in range(5)
        for priority in (2, 5, 8)
        for job_id in queue.backlog(queue.user(), 40, priority=priority)
    ]

    def claimer(number: int) -> list[UUID]:
        own, mine = Queue(urls), []
        try:
            worker = own.worker()
            while claimed := own.claim(worker, 1 + number % 4 * 3):
                mine += [job.id for job in claimed]
        finally:
            own.close()
        return mine

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for mine in pool.map(claimer, range(8)) for job_id in mine]
    assert Counter(claimed) == Counter(ids)
    epochs = queue.service.execute("SELECT DISTINCT epoch, attempt FROM jobs").fetchall()
    assert epochs == [{"epoch": 1, "attempt": 1}]


def test_claims_while_others_submit_and_finish(queue: Queue, urls: DatabaseUrls) -> None:
    """All that lock the same owners' streams and flows, in one pot: no deadlock, nothing lost."""
    users = [queue.user() for _ in range(3)]

    def submitter(number: int) -> int:
        own = Queue(urls)
        try:
            return sum(len(own.backlog(users[(number + n) % 3], 2, priority=3 + n % 3)) for n in range(30))
        finally:
            own.close()

    def runner(_: int) -> int:
        own, done = Queue(urls), 0
        try:
            worker = own.worker()
            for _ in range(40):
                for job in own.claim(worker, 4):
                    done += own.finish(job) == "succeeded"
        finally:
            own.close()
        return done

    with ThreadPoolExecutor(8) as pool:
        submitted = pool.map(submitter, range(4))
        finished = pool.map(runner, range(4))
        total, done = sum(submitted), sum(finished)
    worker = queue.worker()
    while claimed := queue.claim(worker, 50):
        done += sum(queue.finish(job) == "succeeded" for job in claimed)
    assert done == total == 240
    for user in users:
        seqs = [seq for seq, _, _ in queue.user_events(user)]
        assert seqs == list(range(1, 240 + 1))  # 80 jobs of each, three events a job


def test_a_claim_of_nothing_writes_nothing(queue: Queue) -> None:
    worker = queue.worker()
    assert queue.claim(worker, 10, [KIND]) == []
    assert queue.service.execute("SELECT vtime FROM queue_class WHERE vtime <> 0").fetchall() == []
