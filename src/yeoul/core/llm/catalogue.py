"""Model ids: what exists here, what ``default`` means, and which provider answers for an id."""

from dataclasses import dataclass
from decimal import Decimal

from yeoul.core.llm import prices
from yeoul.core.llm.errors import ModelNotReady, UnknownModel
from yeoul.core.llm.providers.base import KnownModel, Provider
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import DEFAULT_MODEL, ModelInfo, Prices
from yeoul.settings import Settings

_LIST = "`yeoul models list` and GET /api/models show what there is."


@dataclass(frozen=True)
class Route:
    """Where a request goes."""

    provider: Provider
    model: KnownModel

    @property
    def id(self) -> str:
        """The full id: ``provider/name``."""
        return f"{self.provider.name}/{self.model.name}"


class Catalogue:
    """The models of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def route(self, model: str) -> Route:
        """Where a model id leads.

        Raises ``UnknownModel`` for an id nobody answers for, ``ModelNotReady`` when something must be set up first.
        """
        if model == DEFAULT_MODEL:
            model = self.default()
        provider_name, _, name = model.partition("/")
        provider = PROVIDERS.get(provider_name)
        if provider is None or not name:
            known = ", ".join(f"`{provider}/…`" for provider in PROVIDERS if provider != "fake")
            raise UnknownModel(
                f"There is no model `{model}`. A model's name begins with its provider: {known}. {_LIST}", model=model
            )
        if (missing := provider.missing(self._settings)) is not None:
            raise ModelNotReady(missing, model=model)
        if (found := provider.find(name, self._settings)) is None:
            raise UnknownModel(f"There is no model `{model}` here. {_LIST}", model=model)
        return Route(provider, found)

    def default(self) -> str:
        """The id `default` stands for.

        The setting's, else the first model of the first provider that is set up, else the local model (which is then
        not ready, and its error says what to do).
        """
        if (chosen := self._settings.default_model) is not None:
            if chosen == DEFAULT_MODEL:
                raise UnknownModel("YEOUL_DEFAULT_MODEL cannot be `default`: name a model.", model=chosen)
            return chosen
        for provider in PROVIDERS.values():
            models = provider.models(self._settings)
            if models and provider.missing(self._settings) is None:
                return f"{provider.name}/{models[0].name}"
        return f"local/{PROVIDERS['local'].models(self._settings)[0].name}"

    def models(self) -> list[ModelInfo]:
        """Every listed model, the usable ones first. Reads the price list once: call it off the event loop."""
        default = self.default()
        found = [
            self._info(provider, model, default)
            for provider in PROVIDERS.values()
            if provider.name != "fake" or self._settings.fake_models
            for model in provider.models(self._settings)
        ]
        provider_name, _, name = default.partition("/")
        if all(not info.default for info in found) and (provider := PROVIDERS.get(provider_name)) is not None:
            found.append(self._info(provider, KnownModel(name), default))
        return sorted(found, key=lambda info: not info.available)

    def _info(self, provider: Provider, model: KnownModel, default: str) -> ModelInfo:
        facts = prices.facts(provider.price_list, model.name) if provider.price_list is not None else None
        price = None
        if provider.free:
            price = Prices(input=Decimal(0), output=Decimal(0))
        elif facts is not None and facts.input is not None and facts.output is not None:
            price = Prices(input=facts.input, output=facts.output)
        reason = provider.missing(self._settings)
        model_id = f"{provider.name}/{model.name}"
        return ModelInfo(
            id=model_id,
            provider=provider.name,
            name=model.title or (facts.title if facts is not None else None) or model.name,
            context=model.context or (facts.context if facts is not None else None),
            prices=price,
            capabilities=list(model.capabilities),
            parameters=provider.honours(model),
            available=reason is None,
            reason=reason,
            default=model_id == default,
        )
