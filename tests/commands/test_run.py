"""``yeoul run``: an answer in the terminal, from a job like any other."""

import asyncio
import json
import signal
import subprocess

import pytest

from tests.commands.conftest import SECONDS, Start, Yeoul, one
from tests.conftest import add_user, process
from yeoul.commands.following import process as command_process
from yeoul.core.completions.handlers import CompleteInput, complete
from yeoul.core.db.database import Database
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.runtime.submit import submit
from yeoul.settings import Settings

FAILS_LATE = json.dumps({"steps": ["It begins ", "well, ", {"error": 500, "after_ms": 60}]})


def status(urls: DatabaseUrls) -> object:
    return one(urls, "SELECT status FROM yeoul.jobs")


def test_an_answer_and_nothing_else(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    done = yeoul("run", "Where does the river run fast?", "--system", "Be brief.", "--seed", "7")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "Where does the river run fast?\n"
    assert done.stderr == ""
    assert one(urls, "SELECT input FROM yeoul.jobs") == {
        "model": "default",
        "prompt": "Where does the river run fast?",
        "system": "Be brief.",
        "parameters": {"seed": 7},
    }
    assert one(urls, "SELECT output->>'text' FROM yeoul.jobs") == "Where does the river run fast?"
    assert one(urls, "SELECT count(*) FROM yeoul.workers") == 0, "its worker has left"


def test_it_acts_as_a_local_user_until_there_is_an_administrator(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    owner = "SELECT email FROM yeoul.users u JOIN yeoul.jobs j ON j.owner_id = u.id ORDER BY j.id DESC"
    assert yeoul("run", "hello").exit_code == 0
    assert one(urls, owner) == "local@localhost"
    assert yeoul("users", "add", "mina@example.com", "--admin", "--stdin", input="a long passphrase").exit_code == 0
    assert yeoul("users", "add", "jun@example.com", "--stdin", input="a long passphrase").exit_code == 0
    assert yeoul("run", "hello").exit_code == 0
    assert one(urls, owner) == "mina@example.com"
    assert yeoul("run", "hello", "--as", "Jun@example.com").exit_code == 0
    assert one(urls, owner) == "jun@example.com"
    assert yeoul("users", "disable", "jun@example.com").exit_code == 0
    for email, words in (("jun@example.com", "disabled"), ("no@example.com", "Nobody has the email no@example.com")):
        refused = yeoul("run", "hello", "--as", email)
        assert refused.exit_code == 1
        assert words in refused.stderr
        assert refused.stdout == ""


def test_the_question_from_standard_input(yeoul: Yeoul) -> None:
    assert yeoul("run", "-", input="여울이 뭐야?\n둘째 줄").stdout == "여울이 뭐야?\n둘째 줄\n"


def test_what_the_job_would_not_take_is_said(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    for words, field in ((("run", "-"), "prompt"), (("run", "hi", "--temperature", "9"), "parameters.temperature")):
        done = yeoul(*words, input="")
        assert done.exit_code == 1
        assert f"  {field}: " in done.stderr
    assert one(urls, "SELECT count(*) FROM yeoul.jobs") == 0


def test_as_json(yeoul: Yeoul) -> None:
    job = json.loads(yeoul("run", "hello", "--json").stdout)
    assert (job["status"], job["output"]["text"]) == ("succeeded", "hello")


def test_whole_rather_than_in_pieces(yeoul: Yeoul) -> None:
    assert yeoul("run", "5 words, 1 ms", "-m", "fake/slow", "--no-stream").stdout == "word1 word2 word3 word4 word5 \n"


def test_an_answer_that_was_cut_says_so(yeoul: Yeoul) -> None:
    done = yeoul("run", "one two three", "--max-tokens", "2")
    assert done.exit_code == 0
    assert done.stdout == "one two \n"
    assert "--max-tokens" in done.stderr


@pytest.mark.parametrize(
    ("model", "words"),
    [("fake/error-401", "Failed: "), ("no/such", "There is no model `no/such`"), ("fake/blocked", "Failed: ")],
)
def test_a_failure_is_said_and_is_no_success(yeoul: Yeoul, urls: DatabaseUrls, model: str, words: str) -> None:
    done = yeoul("run", "hello", "--model", model)
    assert done.exit_code == 1
    assert words in done.stderr
    job = one(urls, "SELECT id FROM yeoul.jobs")
    assert f"yeoul jobs show {job}" in done.stderr
    assert status(urls) == "failed"


def test_text_of_an_attempt_that_failed_is_void(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    done = yeoul("run", FAILS_LATE, "--model", "fake/script", YEOUL_MAX_ATTEMPTS="2")
    assert done.exit_code == 1
    assert done.stdout == "It begins well, It begins well, "
    assert done.stderr.count("The text so far is void. Trying again in ") == 1
    assert status(urls) == "failed"


def test_without_a_stream_void_text_is_never_printed(yeoul: Yeoul) -> None:
    done = yeoul("run", FAILS_LATE, "--model", "fake/script", "--no-stream", YEOUL_MAX_ATTEMPTS="2")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Trying again in " in done.stderr
    assert "void" not in done.stderr


def test_pieces_come_as_they_are_made_and_ctrl_c_cancels(start: Start, urls: DatabaseUrls) -> None:
    running = start("run", "100000 words, 20 ms", "--model", "fake/slow")
    assert running.stdout is not None
    first = running.stdout.read(30)
    assert first == "word1 word2 word3 word4 word5 "
    assert running.poll() is None
    assert status(urls) == "running"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "Canceled."
    assert status(urls) == "canceled"
    ended = "SELECT string_agg(e.type, ' ') FROM yeoul.events e JOIN yeoul.jobs j ON j.id = e.stream_id"
    assert one(urls, f"{ended} WHERE e.type <> 'text'") == "started canceled"
    assert one(urls, "SELECT count(*) FROM yeoul.workers") == 0


def test_a_pipe_that_closes_cancels(start: Start, urls: DatabaseUrls) -> None:
    running = start("run", "100000 words, 20 ms", "--model", "fake/slow")
    assert running.stdout is not None
    running.stdout.read(6)
    running.stdout.close()
    assert running.wait(SECONDS) == 130
    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()
    assert status(urls) == "canceled"


def test_a_pipe(start: Start) -> None:
    """`echo … | yeoul run - | tr`: only the answer goes on."""
    asking = start("run", "-", stdin=subprocess.PIPE)
    answer, said = asking.communicate("여울 is fast", timeout=SECONDS)
    assert (asking.returncode, answer, said) == (0, "여울 is fast\n", "")


async def test_a_worker_elsewhere_does_the_work(start: Start, settings: Settings, urls: DatabaseUrls) -> None:
    async with process(settings, urls, complete, workers=1) as (_, (worker,)):
        asking = start("run", "3 words, 400 ms", "--model", "fake/slow")
        assert asking.stdout is not None
        await asyncio.to_thread(asking.stdout.read, 6)
        assert one(urls, "SELECT worker_id FROM yeoul.jobs") == worker.id
        assert await asyncio.to_thread(asking.wait, SECONDS) == 0


async def test_it_helps_out_when_the_last_worker_has_gone(settings: Settings, urls: DatabaseUrls) -> None:
    async with process(settings, urls, complete, workers=1) as (_, (worker,)):
        async with command_process(settings, urls) as here:
            await here.help_out("llm.complete")
            works = [here.works]
            await worker.stop()
            await here.help_out("llm.complete")
            assert [*works, here.works] == [False, True]
            assert one(urls, "SELECT count(*) FROM yeoul.workers") == 1
        assert one(urls, "SELECT count(*) FROM yeoul.workers") == 0
        await worker.start()


async def test_its_own_question_comes_first(
    start: Start, settings: Settings, urls: DatabaseUrls, database: Database
) -> None:
    """What waits without a worker goes on waiting: a person at the terminal wants one answer."""
    somebody = await add_user(database)
    async with process(settings, urls, complete) as (services, _), services.database.as_user(somebody) as session:
        for _ in range(3):
            await submit(session, services, complete, CompleteInput(model="fake/silent", prompt="hello"))
    asking = start("run", "hello")
    answer, _ = await asyncio.to_thread(asking.communicate, timeout=SECONDS)
    assert (asking.returncode, answer) == (0, "hello\n")
    assert one(urls, "SELECT count(*) FROM yeoul.jobs WHERE status = 'queued' AND attempt = 0") == 3
