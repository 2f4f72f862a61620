"""What ``deploy/`` says about Yeoul is so: every setting, command and option in it exists."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]  # ships no types; comes with mkdocs
from pydantic import AliasChoices

from tests.deploy.fleet import DEPLOY, ROOT, Nginx, clean_environment, find
from yeoul.cli import app
from yeoul.settings import Settings

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def known() -> set[str]:
    """Every variable that sets something."""
    aliases = (field.validation_alias for field in Settings.model_fields.values())
    named = {str(choice) for alias in aliases if isinstance(alias, AliasChoices) for choice in alias.choices}
    return named | {f"YEOUL_{name}".upper() for name in Settings.model_fields}


def options_of(words: list[str]) -> set[str]:
    """The options a command takes; the command must exist."""
    return {option for parameter in COMMANDS[words[0]].params for option in parameter.opts}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()] + [ROOT / "docs/how-to/many-machines.md"],
    ids=lambda path: path.name,
)
def test_every_setting_named_exists(path: Path) -> None:
    assert set(re.findall(r"\bYEOUL_[A-Z_]+[A-Z]\b", path.read_text())) <= known()


@pytest.mark.parametrize("name", ["migrate", "api", "worker", "llm"])
def test_compose_runs_commands_that_exist(name: str) -> None:
    words = COMPOSE["services"][name]["command"]
    assert {word for word in words if word.startswith("--")} <= options_of(words)


def test_compose_hangs_together() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), f"{name}: {source}"
    text = (DEPLOY / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+)", text))
    assert wanted == set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE))
    # The secrets of one role do not reach the others.
    admins = [name for name, each in services.items() if "YEOUL_ADMIN_DATABASE_URL" in each.get("environment", {})]
    assert admins == ["migrate"]
    assert "YEOUL_SECRET_KEY" not in services["llm"]["environment"]


def _fill(found: re.Match[str]) -> str:
    """A variable's default, else something as long as a secret."""
    return found[1] or "x" * 40


def test_the_settings_of_compose_are_acceptable() -> None:
    for name in ("migrate", "api", "worker", "llm"):
        given = COMPOSE["services"][name]["environment"]
        filled: dict[str, Any] = {
            variable.removeprefix("YEOUL_").lower(): re.sub(r"\$\{\w+(?::-([^}]*)|[^}]*)\}", _fill, value)
            for variable, value in given.items()
        }
        made = Settings(_env_file=None, **filled)
        assert name == "llm" or made.trusted_proxies == ["172.30.0.0/24"]


def test_the_image_copies_what_is_there() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {word for line in lines for word in line.split()[:-1]}
    let_in = set(re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert sources == let_in
    for source in sources:
        assert (ROOT / source).exists()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    (started,) = re.findall(r"^ExecStart=/opt/yeoul/bin/yeoul (.+)$", text, re.MULTILINE)
    words = started.split()
    assert {word for word in words if word.startswith("--")} <= options_of(words)
    # systemd looks whether the program is there, so it is told of one that is.
    program = shutil.which("true")
    copy = tmp_path / unit.name.replace("@", "@8000")
    copy.write_text(text.replace("/opt/yeoul/bin/yeoul", str(program)))
    done = subprocess.run([find("systemd-analyze"), "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rated = subprocess.run(
        [find("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", copy],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout


def test_the_units_environment_is_acceptable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    for line in (DEPLOY / "systemd/yeoul.env").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)
    made = Settings(_env_file=None)
    assert made.public_url == "https://ai.example.com"
    assert not made.embedded


def test_nginx_takes_the_file_of_compose(tmp_path: Path) -> None:
    """The name `api` is compose's to resolve; here it is this machine's."""
    nginx = Nginx(tmp_path / "nginx", [8000])
    text = (DEPLOY / "nginx/compose.conf").read_text()
    assert "server api:8000 " in text
    (nginx.folder / "yeoul.conf").write_text(text.replace("api:8000", "127.0.0.1:8000"))
    nginx.check()
