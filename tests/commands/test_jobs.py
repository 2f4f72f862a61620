"""``yeoul jobs``: what the API shows and does, at the terminal."""

import asyncio
import json
import signal
from uuid import UUID, uuid4

import pytest

from tests.commands.conftest import SECONDS, Start, Yeoul, change, one
from tests.conftest import add_user, process
from yeoul.commands.terminal import local_time
from yeoul.core.completions.handlers import CompleteInput, complete
from yeoul.core.db.database import Database
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.runtime.submit import submit
from yeoul.settings import Settings


@pytest.fixture
def asked(yeoul: Yeoul, urls: DatabaseUrls) -> str:
    """The id of a job that has been answered."""
    assert yeoul("run", "one two", "-m", "fake/echo").exit_code == 0
    return str(one(urls, "SELECT id FROM yeoul.jobs"))


@pytest.fixture
async def waiting(settings: Settings, urls: DatabaseUrls, database: Database) -> UUID:
    """A job that nobody works at."""
    owner = await add_user(database)
    async with process(settings, urls, complete) as (services, _), services.database.as_user(owner) as session:
        return (await submit(session, services, complete, CompleteInput(model="fake/silent", prompt="x"))).id


def test_nothing_yet(yeoul: Yeoul) -> None:
    done = yeoul("jobs", "list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("No jobs yet. Ask something: yeoul run ")
    assert json.loads(yeoul("jobs", "list", "--json").stdout) == {"items": [], "next_cursor": None}
    assert yeoul("jobs", "list", "--kind", "no.such").stderr == "No job is like that.\n"


def test_a_list(yeoul: Yeoul, asked: str, urls: DatabaseUrls) -> None:
    assert yeoul("run", "hello", "-m", "fake/error-401").exit_code == 1
    head, newest, oldest = (line.split() for line in yeoul("jobs", "list").stdout.splitlines())
    assert head == ["id", "kind", "status", "created", "took"]
    assert newest[1:3] == ["llm.complete", "failed"]
    assert oldest[:3] == [asked, "llm.complete", "succeeded"]
    first = json.loads(yeoul("jobs", "list", "--limit", "1", "--json").stdout)
    assert " ".join(newest[3:5]) == local_time(one(urls, "SELECT max(created_at) FROM yeoul.jobs"))  # type: ignore[arg-type]
    assert first["items"][0]["id"] == newest[0]
    after = yeoul("jobs", "list", "--cursor", first["next_cursor"])
    assert [line.split()[0] for line in after.stdout.splitlines()] == ["id", asked]
    assert f"--cursor {first['next_cursor']}" in yeoul("jobs", "list", "--limit", "1").stderr
    assert newest[0] not in yeoul("jobs", "list", "--status", "succeeded").stdout


def test_a_list_is_one_users(yeoul: Yeoul, asked: str) -> None:
    assert yeoul("users", "add", "jun@example.com", "--stdin", input="a long passphrase").exit_code == 0
    assert yeoul("jobs", "list", "--as", "jun@example.com").stdout == ""
    assert asked in yeoul("jobs", "list").stdout


def test_a_cursor_that_is_none(yeoul: Yeoul) -> None:
    done = yeoul("jobs", "list", "--cursor", "nonsense")
    assert done.exit_code == 1
    assert "This cursor is not one we gave out" in done.stderr


def test_one_job(yeoul: Yeoul, asked: str) -> None:
    words = yeoul("jobs", "show", asked).stdout
    assert f"id          {asked}\n" in words
    assert "status      succeeded\n" in words
    assert "attempt     1 of 3\n" in words
    assert '"prompt": "one two"' in words
    assert words.endswith("\none two\n")
    assert json.loads(yeoul("jobs", "show", asked, "--json").stdout)["output"]["text"] == "one two"


@pytest.mark.parametrize("command", ["show", "events", "cancel", "retry"])
def test_a_job_that_is_not_there(yeoul: Yeoul, command: str) -> None:
    done = yeoul("jobs", command, str(uuid4()))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "There is no job" in done.stderr
    assert yeoul("jobs", command, "nonsense").exit_code == 2


def test_what_a_job_has_said(yeoul: Yeoul, asked: str) -> None:
    events = [json.loads(line) for line in yeoul("jobs", "events", asked, "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("started", "succeeded")
    assert "".join(event["data"]["delta"] for event in events if event["type"] == "text") == "one two"

    words = [line.split(maxsplit=2) for line in yeoul("jobs", "events", asked, "--after", "1").stdout.splitlines()]
    assert [int(word[0]) for word in words] == [event["seq"] for event in events[1:]]
    assert words[0][1:] == ["text", '"one two"'] or words[0][2].startswith('"one')
    nothing = yeoul("jobs", "events", asked, "--after", "999", "--follow")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "Nothing more has happened.\n")


def test_without_its_events_a_job_tells_its_end(yeoul: Yeoul, asked: str, urls: DatabaseUrls) -> None:
    change(urls, f"DELETE FROM yeoul.events WHERE stream_id = '{asked}'")  # noqa: S608  (ours)
    for follow in ((), ("--follow",)):
        lines = yeoul("jobs", "events", asked, "--json", *follow).stdout.splitlines()
        assert [json.loads(line)["type"] for line in lines] == ["text", "succeeded"]


def test_a_job_that_waits_is_canceled(yeoul: Yeoul, waiting: UUID) -> None:
    assert "Nothing has happened yet" in yeoul("jobs", "events", str(waiting)).stderr
    assert "place 1 in the queue" in yeoul("jobs", "show", str(waiting)).stdout
    assert yeoul("jobs", "cancel", str(waiting)).stderr == "Canceled.\n"
    again = yeoul("jobs", "cancel", str(waiting))
    assert (again.exit_code, again.stderr) == (0, "It had ended before: canceled.\n")


def test_a_job_that_waits_is_not_tried_again(yeoul: Yeoul, waiting: UUID) -> None:
    refused = yeoul("jobs", "retry", str(waiting))
    assert refused.exit_code == 1
    assert "Wait until it has ended" in refused.stderr


def test_a_job_is_tried_again(yeoul: Yeoul, asked: str, urls: DatabaseUrls) -> None:
    made = yeoul("jobs", "retry", asked)
    assert made.exit_code == 0
    assert "No worker is running" in made.stderr
    assert str(one(urls, "SELECT id FROM yeoul.jobs WHERE retry_of = %s", UUID(asked))) == made.stdout.strip()
    assert "status      queued, place 1" in yeoul("jobs", "show", made.stdout.strip()).stdout

    followed = yeoul("jobs", "retry", asked, "--follow")
    assert (followed.exit_code, followed.stdout) == (0, "one two\n")


async def test_a_running_job_is_followed_and_canceled(
    start: Start, settings: Settings, urls: DatabaseUrls, waiting: UUID
) -> None:
    async with process(settings, urls, complete, workers=1):
        following = start("jobs", "events", str(waiting), "--follow")
        assert following.stdout is not None
        started = await asyncio.to_thread(following.stdout.readline)
        assert started.split(maxsplit=2) == ["1", "started", '{"attempt": 1}\n']
        canceled = start("jobs", "cancel", str(waiting), "--json")
        answer, _ = await asyncio.to_thread(canceled.communicate, timeout=SECONDS)
        assert json.loads(answer)["status"] == "canceled"
        rest, _ = await asyncio.to_thread(following.communicate, timeout=SECONDS)
        assert rest.split() == ["2", "canceled"]
        assert following.returncode == 0


async def test_following_ends_with_ctrl_c_and_leaves_the_job_alone(
    start: Start, settings: Settings, urls: DatabaseUrls, waiting: UUID
) -> None:
    async with process(settings, urls, complete, workers=1):
        following = start("jobs", "events", str(waiting), "--follow")
        assert following.stdout is not None
        await asyncio.to_thread(following.stdout.readline)
        following.send_signal(signal.SIGINT)
        rest, said = await asyncio.to_thread(following.communicate, timeout=SECONDS)
        assert (following.returncode, rest, said) == (130, "", "")
        assert one(urls, "SELECT status FROM yeoul.jobs") == "running"
