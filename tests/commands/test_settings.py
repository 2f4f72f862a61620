"""What is set, where it comes from, and nothing secret."""

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Yeoul
from yeoul.commands.settings import shown, variables
from yeoul.settings import Settings

KEY = "sk-very-secret-0123456789"


def rows(output: str) -> dict[str, tuple[object, str]]:
    return {row["name"]: (row["value"], row["from"]) for row in json.loads(output)}


def test_every_setting_is_there_with_its_origin(yeoul: Yeoul, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("YEOUL_PORT=9001\nYEOUL_HOST=0.0.0.0\nHF_ENDPOINT=https://hub.example\n")
    found = rows(yeoul("settings", "--json", YEOUL_HOST="::1", OPENAI_API_KEY=KEY).output)
    assert len(found) == len(Settings.model_fields)
    assert found["YEOUL_HOST"] == ("::1", "environment")
    assert found["YEOUL_PORT"] == (9001, ".env")
    assert found["YEOUL_HUB_URL"] == ("https://hub.example", ".env: HF_ENDPOINT")
    assert found["YEOUL_OPENAI_API_KEY"] == ("(hidden)", "environment: OPENAI_API_KEY")
    assert found["YEOUL_DRAIN_SECONDS"] == (20.0, "default")
    assert found["YEOUL_TRUSTED_PROXIES"] == (["127.0.0.1", "::1"], "default")


def test_the_table_says_the_same(yeoul: Yeoul) -> None:
    lines = yeoul("settings", YEOUL_PORT="9002").output.splitlines()
    assert ["YEOUL_PORT", "9002", "environment"] in [line.split() for line in lines]
    assert ["YEOUL_FAKE_MODELS", "true", "environment"] in [line.split() for line in lines]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_secrets_are_not_shown(yeoul: Yeoul, flags: tuple[str, ...]) -> None:
    secrets = {
        "OPENAI_API_KEY": KEY,
        "YEOUL_SECRET_KEY": f"{KEY}{KEY}",
        "YEOUL_METRICS_TOKEN": f"{KEY}!",
        "YEOUL_ADMIN_DATABASE_URL": f"postgresql://root:{KEY}@db/yeoul?sslpassword={KEY}&sslmode=require",
        "YEOUL_COMPATIBLE_BASE_URL": f"https://me:{KEY}@models.example/v1?api_key={KEY}",
    }
    output = yeoul("settings", *flags, **secrets).output
    assert KEY not in output
    assert "root:(hidden)@db/yeoul" in output
    assert "sslmode=require" in output


def test_no_secret_field_is_ever_shown(yeoul: Yeoul) -> None:
    secrets = {
        variables(name, field)[0]: f'{{"one": "{KEY}"}}' if "dict" in str(field.annotation) else f"{KEY}{KEY}"
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation) and "list" not in str(field.annotation)
    }
    assert len(secrets) >= 6
    done = yeoul("settings", "--json", **secrets)
    assert done.exit_code == 0, done.stderr
    assert KEY not in done.output
    assert {
        name for name, (value, _) in rows(done.output).items() if value in ("(hidden)", {"one": "(hidden)"})
    } == set(secrets)


@pytest.mark.parametrize(
    ("address", "without"),
    [
        ("postgresql://db/yeoul", "postgresql://db/yeoul"),
        ("postgresql://me@db/yeoul", "postgresql://me@db/yeoul"),
        ("postgresql://me:p%40ss@db:5432/yeoul", "postgresql://me:(hidden)@db:5432/yeoul"),
        ("postgresql://me:p@ss@db/yeoul", "postgresql://me:(hidden)@db/yeoul"),
        ("postgresql://db/yeoul?user=me&password=x", "postgresql://db/yeoul?user=me&password=(hidden)"),
        ("plain: text@here", "plain: text@here"),
    ],
)
def test_an_address_loses_its_password_only(address: str, without: str) -> None:
    assert shown(address) == without
