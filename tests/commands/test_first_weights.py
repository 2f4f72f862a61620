"""The local model's weights are got before they are asked for, when they are needed and can be had."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.core.llm import server
from tests.core.llm.test_weights import CONTENT, HUB, hub, model
from yeoul.commands import weights
from yeoul.core.llm.weights import CATALOGUE
from yeoul.settings import Settings

LOCAL = {"local_enabled": True, "default_model": None, "fake_models": False, "local_model": "some"}

pytestmark = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="the extra `local` is not installed")


@pytest.fixture
def here(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose only model is a local one of three megabytes, from a hub alone."""
    monkeypatch.setitem(CATALOGUE, "some", model(HUB))
    return settings.model_copy(update=LOCAL | {"models_dir": tmp_path / "models", "hub_url": "http://127.0.0.1:9"})


def test_wanted_when_the_default_is_local_and_nothing_is_there(here: Settings) -> None:
    assert weights.wanted(here) == "some"
    assert weights.wanted(here, "local/some") == "some"


@pytest.mark.parametrize(
    "changed",
    [
        {"local_enabled": False},
        {"fake_models": True},
        {"default_model": "openai/gpt-4.1-mini"},
        {"default_model": "default"},
        {"local_model": "no-such"},
        {"local_model": "/somewhere/own.gguf"},
    ],
)
def test_not_wanted_when_something_else_answers_or_it_cannot_be_had(here: Settings, changed: dict[str, object]) -> None:
    assert weights.wanted(here.model_copy(update=changed)) is None


def test_not_wanted_for_another_model(here: Settings) -> None:
    assert weights.wanted(here, "fake/echo") is None


def test_not_wanted_twice(here: Settings) -> None:
    here.weights_dir.mkdir()
    (here.weights_dir / "some.gguf").write_bytes(CONTENT)
    assert weights.wanted(here) is None


async def test_they_are_got_with_progress(here: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with server.running() as vendor:
        vendor.scripts = [hub()]
        await asyncio.to_thread(weights.get, here.model_copy(update={"hub_url": vendor.url}))
    assert (here.weights_dir / "some.gguf").read_bytes() == CONTENT
    said = capsys.readouterr().err
    assert "Getting Some, the model that answers without a key: once, 3 MB." in said
    assert "some: downloaded and checked." in said
    weights.get(here)
    assert capsys.readouterr().err == ""


def test_without_them_it_goes_on(here: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    weights.get(here)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("Going on without the local model. No source gave the weights of `some`")
    assert "yeoul models pull some" in last


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(
    here: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    weights.get(here.model_copy(update={"models_dir": tmp_path / "file" / "models"}))
    assert "Going on without the local model." in capsys.readouterr().err
