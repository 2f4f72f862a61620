"""The command as such: quick, and clear about what it was given."""

import subprocess
import sys

import pytest

from tests.commands.conftest import Yeoul
from yeoul import __version__

HEAVY = ("sqlalchemy", "fastapi", "psycopg", "pydantic_ai", "uvicorn", "pydantic_settings", "rich.console", "uvloop")


def test_version(yeoul: Yeoul) -> None:
    assert yeoul("--version").output == f"{__version__}\n"


def test_help_names_every_command(yeoul: Yeoul) -> None:
    said = yeoul("--help").output
    for command in (
        "serve",
        "api",
        "worker",
        "migrate",
        "run",
        "doctor",
        "settings",
        "backup",
        "restore",
        "jobs",
        "models",
        "schedules",
        "users",
    ):
        assert f" {command} " in said


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    look = f"import sys, yeoul.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"YEOUL_PORT": "many"}, "YEOUL_PORT: Input should be a valid integer"),
        ({"YEOUL_LOG_LEVEL": "loud"}, "YEOUL_LOG_LEVEL: Input should be 'debug', 'info'"),
        ({"YEOUL_SECRET_KEY": "short"}, "YEOUL_SECRET_KEY: Value should have at least 32 items"),
    ],
)
def test_a_setting_that_is_not_acceptable_is_named(yeoul: Yeoul, variables: dict[str, str], words: str) -> None:
    done = yeoul("settings", **variables)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "short" not in done.output, "a secret is not repeated"


def test_an_option_that_is_not_acceptable_is_named(yeoul: Yeoul) -> None:
    done = yeoul("serve", "--port", "99999")
    assert done.exit_code == 2
    assert "--port" in done.stderr
    assert "65535" in done.stderr
