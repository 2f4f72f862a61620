from decimal import Decimal
from pathlib import Path

import pytest

from tests.core.llm.vendors import settings
from yeoul.core.llm import weights
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.errors import ModelCannot, ModelNotReady, UnknownModel
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import CompletionRequest, Parameters


@pytest.mark.parametrize(
    ("fields", "default"),
    [
        ({}, "local/smollm2-135m"),
        ({"default_model": "anthropic/claude-haiku-4-5"}, "anthropic/claude-haiku-4-5"),
        ({"openai_api_key": "k", "anthropic_api_key": "k"}, "openai/gpt-6.1-terra"),
        ({"openai_api_key": "", "gemini_api_key": "k"}, "gemini/gemini-3.8-flash"),  # set, but to nothing
        ({"gemini_api_key": "k"}, "gemini/gemini-3.8-flash"),
        ({"compatible_base_url": "http://127.0.0.1:1/v1"}, "local/smollm2-135m"),  # no model is named
        ({"compatible_base_url": "http://127.0.0.1:1/v1", "compatible_models": "qwen3,phi"}, "compatible/qwen3"),
        ({"local_enabled": False, "fake_models": True}, "fake/echo"),
        ({"local_model": "~/mine/Big.gguf"}, "local/Big"),
    ],
)
def test_default(fields: dict[str, object], default: str, tmp_path: Path) -> None:
    assert Catalogue(settings(data_dir=tmp_path, **fields)).default() == default


def test_default_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelNotReady, match="yeoul models pull smollm2-135m"):
        Catalogue(settings(data_dir=tmp_path)).route("default")


def test_default_cannot_mean_itself() -> None:
    with pytest.raises(UnknownModel):
        Catalogue(settings(default_model="default")).route("default")


@pytest.mark.parametrize("model", ["gpt-4", "nobody/gpt-4", "openai/", "/", "local/other"])
def test_unknown(model: str, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").touch()
    catalogue = Catalogue(settings(openai_api_key="k", local_model=str(tmp_path / "mine.gguf")))
    with pytest.raises(UnknownModel, match="yeoul models list"):
        catalogue.route(model)


@pytest.mark.parametrize(
    ("model", "temperature", "fits"),
    [
        ("anthropic/claude-haiku-4-5", 1.5, False),
        ("anthropic/claude-next", 1.01, False),
        ("anthropic/claude-haiku-4-5", 1, True),
        ("anthropic/claude-sonnet-5-5", 1.5, True),  # it takes none, so none is sent
        ("openai/gpt-4.1-mini", 2, True),
        ("gemini/gemini-3.8-flash", 2, True),
    ],
)
def test_values_of_parameters_fit_the_model(model: str, temperature: float, fits: bool) -> None:
    catalogue = Catalogue(settings(openai_api_key="k", anthropic_api_key="k", gemini_api_key="k"))
    request = CompletionRequest.ask("hi", model=model, parameters=Parameters(temperature=temperature))
    if fits:
        catalogue.check(catalogue.route(model), request)
    else:
        with pytest.raises(ModelCannot, match=f"`{model}` takes `temperature` from 0 to 1, not {temperature}"):
            catalogue.check(catalogue.route(model), request)


def test_a_vendors_unlisted_model_is_passed_on() -> None:
    route = Catalogue(settings(openai_api_key="k")).route("openai/gpt-9/preview")
    assert (route.id, route.model.name) == ("openai/gpt-9/preview", "gpt-9/preview")


def test_the_listing(tmp_path: Path) -> None:
    models = Catalogue(settings(data_dir=tmp_path, anthropic_api_key="k")).models()
    assert [model.available for model in models] == sorted((model.available for model in models), reverse=True)
    assert [model.id for model in models if model.default] == ["anthropic/claude-sonnet-5-5"]
    assert {model.provider for model in models} == {"openai", "anthropic", "gemini", "perplexity", "local"}
    by_id = {model.id: model for model in models}
    haiku = by_id["anthropic/claude-haiku-4-5"]
    assert haiku.prices is not None
    assert (haiku.context, haiku.prices.input, haiku.prices.output) == (200_000, Decimal(1), Decimal(5))
    assert (haiku.available, haiku.reason) == (True, None)
    assert "temperature" in haiku.parameters
    assert "seed" not in haiku.parameters
    sonar = by_id["perplexity/sonar"]
    assert "search" in sonar.capabilities
    assert sonar.reason == "PERPLEXITY_API_KEY is missing: set it or choose another model."
    local = by_id["local/smollm2-135m"]
    assert local.prices is not None
    assert local.prices.input == 0


def test_every_listed_vendor_model_has_a_price_and_a_context() -> None:
    for model in Catalogue(settings()).models():
        if PROVIDERS[model.provider].price_list is not None:
            assert model.prices is not None, model.id
            assert model.context is not None, model.id


def test_a_default_that_is_not_listed_is_listed_too() -> None:
    models = Catalogue(settings(openai_api_key="k", default_model="openai/gpt-9")).models()
    assert [model.id for model in models if model.default] == ["openai/gpt-9"]


def test_a_path_to_weights(tmp_path: Path) -> None:
    path = tmp_path / "Mine-Q4.gguf"
    assert "There is no file" in str(weights.missing(str(path), tmp_path))
    path.touch()
    assert weights.missing(str(path), tmp_path) is None
    assert Catalogue(settings(local_model=str(path))).route("local/Mine-Q4").id == "local/Mine-Q4"


def test_weights_nobody_knows(tmp_path: Path) -> None:
    assert "choose one of smollm2-135m" in str(weights.missing("llama", tmp_path))
