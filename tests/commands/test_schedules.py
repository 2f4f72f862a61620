"""``yeoul schedules``: what the API does, at the terminal."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.commands.conftest import Yeoul, one
from yeoul.core.runtime.services import DatabaseUrls

INPUT = '{"model": "fake/echo", "prompt": "good morning"}'


def add(yeoul: Yeoul, *more: str) -> dict[str, Any]:
    when = () if "--every" in more else ("--cron", "0 9 * * *", "--zone", "Asia/Seoul")
    done = yeoul("schedules", "add", "morning", "--input", INPUT, "--json", *when, *more)
    assert done.exit_code == 0, done.output
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_nothing_yet(yeoul: Yeoul) -> None:
    done = yeoul("schedules", "list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("No schedules yet. Add one: yeoul schedules add ")


def test_from_its_making_to_its_end(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    made = add(yeoul)
    assert (made["cron"], made["time_zone"], made["missed"], made["overlap"]) == (
        "0 9 * * *", "Asia/Seoul", "once", "skip",
    )  # fmt: skip
    head, line = (row.split("  ") for row in yeoul("schedules", "list").stdout.splitlines())
    assert head[0] == "name"
    assert line[0] == "morning"
    assert "0 9 * * * Asia/Seoul" in line

    assert yeoul("schedules", "pause", "morning").stderr == "morning is paused.\n"
    assert "paused" in yeoul("schedules", "list").stdout
    assert json.loads(yeoul("schedules", "resume", made["id"], "--json").stdout)["next_at"] == made["next_at"]

    ran = yeoul("schedules", "run", "morning")
    assert str(UUID(ran.stdout.strip())) == str(one(urls, "SELECT id FROM yeoul.jobs"))
    assert "No worker is running" in ran.stderr

    gone = yeoul("schedules", "delete", "morning")
    assert gone.stderr == "Deleted morning. The jobs it has made stay.\n"
    assert one(urls, "SELECT count(*) FROM yeoul.jobs") == 1
    again = yeoul("schedules", "delete", "morning")
    assert again.exit_code == 1
    assert "There is no schedule 'morning'" in again.stderr


def test_every_so_many_seconds_with_the_input_from_a_pipe(yeoul: Yeoul) -> None:
    done = yeoul("schedules", "add", "often", "--every", "60", "--input", "-", "--overlap", "allow", input=INPUT)
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("often: every 60 s, next at ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cron", "nonsense", "--input", INPUT), "cron"),
        (("--cron", "@daily", "--zone", "Mars/Olympus", "--input", INPUT), "There is no time zone"),
        (("--input", INPUT), "Say when"),
        (("--every", "0", "--input", INPUT), "every_seconds"),
        (("--cron", "@daily", "--input", "{"), "--input is no JSON"),
        (("--cron", "@daily", "--input", "[]"), "input"),
        (("--cron", "@daily", "--input", '{"prompt": 7}'), "prompt"),
        (("--cron", "@daily", "--kind", "no.such", "--input", "{}"), "There is no kind"),
    ],
)
def test_what_does_not_fit_is_named(yeoul: Yeoul, words: tuple[str, ...], said: str) -> None:
    done = yeoul("schedules", "add", "x", *words)
    assert done.exit_code == 1
    assert said in done.stderr


def test_the_installations_own_are_shown_to_who_asks(yeoul: Yeoul) -> None:
    """Before its first start there are none, and nobody by that name."""
    done = yeoul("schedules", "list", "--as", "system")
    assert done.exit_code == 1
