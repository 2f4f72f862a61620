"""The functions that write for the app's login: each for its own user alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.rls.conftest import Seeded
from tests.rls.seed import seed
from yeoul.core.base.ids import new_id
from yeoul.core.runtime.services import DatabaseUrls

Connection = psycopg.Connection[tuple[Any, ...]]

SUBMIT = "SELECT id, owner_id, root_id, retry_of FROM yeoul.submit_job(%s, 'test.echo', '{}', 5, null, 3, %s, 100)"

SUBMIT_MANY = "SELECT yeoul.submit_jobs(%s::uuid[], 'test.echo', '[{}, {}]', 5, 1, 3, 100)"


@contextmanager
def scope(seeded: Seeded, user_id: UUID | None) -> Iterator[Connection]:
    with psycopg.connect(seeded.urls.app) as connection:
        if user_id is not None:
            connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(user_id)])
        yield connection


@pytest.fixture
def seeded(urls: DatabaseUrls) -> Seeded:
    """A database of the test's own: these commit."""
    return Seeded(urls, *seed(urls.service))


@pytest.fixture
def job(seeded: Seeded) -> UUID:
    """A waiting job of the owner's."""
    job_id = new_id()
    with scope(seeded, seeded.owner) as connection:
        connection.execute(SUBMIT, [job_id, None])
    return job_id


def status(seeded: Seeded, job_id: UUID) -> str:
    with psycopg.connect(seeded.urls.service) as connection:
        row = connection.execute("SELECT status FROM yeoul.jobs WHERE id = %s", [job_id]).fetchone()
    assert row is not None
    return str(row[0])


def test_a_submitted_job_is_the_scopes(seeded: Seeded) -> None:
    with scope(seeded, seeded.other) as connection:
        job_id = new_id()
        assert connection.execute(SUBMIT, [job_id, None]).fetchall() == [(job_id, seeded.other, job_id, None)]


def test_nobody_submits(seeded: Seeded) -> None:
    with scope(seeded, None) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="tenant scope"):
        connection.execute(SUBMIT, [new_id(), None])
    with scope(seeded, None) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="tenant scope"):
        connection.execute(SUBMIT_MANY, [[new_id()]])


def test_jobs_submitted_together_are_the_scopes(seeded: Seeded) -> None:
    with scope(seeded, seeded.other) as connection:
        ids = [new_id(), new_id()]
        with pytest.raises(psycopg.errors.RaiseException, match="1 ids, but 2 inputs"), connection.transaction():
            connection.execute(SUBMIT_MANY, [ids[:1]])
        connection.execute(SUBMIT_MANY, [ids])
        rows = connection.execute("SELECT id, owner_id, root_id FROM yeoul.jobs ORDER BY id").fetchall()
        assert rows == [(job_id, seeded.other, job_id) for job_id in ids]


def test_only_ones_own_job_is_retried(seeded: Seeded, job: UUID) -> None:
    """A retry shares the steps of what it repeats, so it must not repeat another's."""
    with scope(seeded, seeded.owner) as connection:
        first, second = new_id(), new_id()
        assert connection.execute(SUBMIT, [first, job]).fetchall() == [(first, seeded.owner, job, job)]
        assert connection.execute(SUBMIT, [second, first]).fetchall() == [(second, seeded.owner, job, first)]
    with scope(seeded, seeded.other) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(SUBMIT, [new_id(), job])


@pytest.mark.parametrize("actor", ["other", "nobody"])
def test_anothers_job_is_neither_cancelled_nor_placed(seeded: Seeded, job: UUID, actor: str) -> None:
    with scope(seeded, getattr(seeded, actor, None)) as connection:
        assert connection.execute("SELECT * FROM yeoul.cancel_job(%s)", [job]).fetchall() == []
        assert connection.execute("SELECT * FROM yeoul.queue_place(%s)", [job]).fetchall() == []
    assert status(seeded, job) == "queued"
    with scope(seeded, seeded.owner) as connection:
        assert connection.execute("SELECT place FROM yeoul.queue_place(%s)", [job]).fetchall() == [(1,)]
        assert connection.execute("SELECT status FROM yeoul.cancel_job(%s)", [job]).fetchall() == [("canceled",)]
    assert status(seeded, job) == "canceled"


@pytest.mark.parametrize("actor", ["other", "nobody"])
def test_anothers_prompt_is_neither_cancelled_nor_deleted(seeded: Seeded, actor: str) -> None:
    with psycopg.connect(seeded.urls.service) as connection:
        (ids,) = connection.execute("SELECT id, prompt_id, job_ids[1] FROM yeoul.playground_executions").fetchall()
    execution, prompt, job = ids
    with scope(seeded, getattr(seeded, actor, None)) as connection:
        assert connection.execute("SELECT id FROM yeoul.playground_cancel(%s)", [execution]).fetchall() == []
        assert connection.execute("SELECT id FROM yeoul.playground_delete(%s)", [prompt]).fetchall() == []
    assert status(seeded, job) == "queued"
    with scope(seeded, seeded.owner) as connection:
        deleted = connection.execute("SELECT id, status FROM yeoul.playground_delete(%s)", [prompt]).fetchall()
        assert deleted == [(job, "canceled")]
        assert connection.execute("SELECT id FROM yeoul.playground_prompts").fetchall() == []


def test_ones_own_ended_jobs_alone_are_forgotten(seeded: Seeded, job: UUID) -> None:
    forget = "SELECT yeoul.forget_jobs(%s::uuid[])"
    with psycopg.connect(seeded.urls.service) as connection:  # the app's login has no right to it
        for user in (seeded.other, seeded.owner):
            connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(user)])
            assert connection.execute(forget, [[job]]).fetchall() == [(0,)]
        connection.execute("SELECT yeoul.cancel_job(%s)", [job])
        connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(seeded.other)])
        assert connection.execute(forget, [[job]]).fetchall() == [(0,)]
        connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(seeded.owner)])
        assert connection.execute(forget, [[job]]).fetchall() == [(1,)]
        assert connection.execute("SELECT FROM yeoul.events WHERE stream_id = %s", [job]).fetchall() == []
        assert connection.execute("SELECT FROM yeoul.jobs WHERE id = %s", [job]).fetchall() == []


def test_a_temporary_table_does_not_stand_in_for_ours(seeded: Seeded, job: UUID) -> None:
    """Its triggers would run as the schema's owner."""
    with scope(seeded, seeded.other) as connection:
        connection.execute("CREATE TEMPORARY TABLE jobs (LIKE yeoul.jobs)")
        connection.execute(
            "CREATE FUNCTION pg_temp.trap() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'ran as %', current_user; END $$"
        )
        connection.execute("CREATE TRIGGER trap BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION pg_temp.trap()")
        connection.execute("GRANT ALL ON jobs TO PUBLIC")
        submitted = new_id()
        connection.execute(SUBMIT, [submitted, None])
        assert connection.execute("SELECT count(*) FROM pg_temp.jobs").fetchone() == (0,)
    assert status(seeded, submitted) == "queued"


def test_the_scope_is_not_taken_from_the_session_of_another(seeded: Seeded) -> None:
    """Nonsense in the setting is an error, not somebody."""
    with psycopg.connect(seeded.urls.app) as connection:
        connection.execute("SET yeoul.user_id = 'everybody'")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("SELECT count(*) FROM yeoul.jobs")
