"""Model ids: what exists here, what ``default`` means, and which provider answers for an id."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from yeoul.core.llm import prices
from yeoul.core.llm.errors import ModelCannot, ModelNotReady, RequestRejected, UnknownModel
from yeoul.core.llm.own_keys import Held
from yeoul.core.llm.providers.base import KnownModel, Provider
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import DEFAULT_MODEL, Capability, CompletionRequest, ModelInfo, Prices
from yeoul.settings import Settings

_LIST = "`yeoul models list` and GET /api/models show what there is."
_CANNOT: Mapping[Capability, str] = {"images": "reads no images", "json_schema": "cannot keep to a JSON Schema"}
_NAMED = 5


@dataclass(frozen=True)
class Route:
    """Where a request goes."""

    provider: Provider
    model: KnownModel
    own_key: bool = False
    """Whether it is asked with a user's own key."""

    @property
    def id(self) -> str:
        """The full id: ``provider/name``."""
        return f"{self.provider.name}/{self.model.name}"


class Catalogue:
    """The models of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def route(self, model: str, key: str | None = None) -> Route:
        """Where a model id leads; ``key`` is a user's own, in place of the installation's.

        Raises ``UnknownModel`` for an id nobody answers for, ``ModelNotReady`` when something must be set up first,
        and ``RequestRejected`` for a model that makes embeddings alone.
        """
        route = self._route(self.default() if model == DEFAULT_MODEL else model, key)
        if route.model.embeds:
            raise RequestRejected(f"`{route.id}` makes embeddings, no text: use it at /v1/embeddings.", model=route.id)
        return route

    def check(self, route: Route, request: CompletionRequest) -> None:
        """Raises ``ModelCannot`` for what a request asks and its model has no capability for, naming models that do.

        And for a value of a parameter that is beyond what the model takes.
        """
        for words in route.provider.beyond(route.model, request.parameters).values():
            raise ModelCannot(words, model=route.id)
        asked: list[Capability] = []
        if request.images:
            asked.append("images")
        if request.response_schema is not None:
            asked.append("json_schema")
        for capability in asked:
            if capability not in route.model.capabilities:
                raise ModelCannot(
                    f"`{route.id}` {_CANNOT[capability]}. {self._who_can(asked)}", model=route.id, capability=capability
                )
        for image in request.images:
            if image.media_type not in (types := route.provider.image_types):
                names = ", ".join(sorted(types))
                raise ModelCannot(f"`{route.id}` reads no {image.media_type}; it reads {names}.", model=route.id)

    def _who_can(self, asked: list[Capability]) -> str:
        able = [
            (provider.lacks(model, self._settings) is None, f"`{provider.name}/{model.name}`")
            for provider in PROVIDERS.values()
            for model in provider.models(self._settings)
            if set(asked) <= set(model.capabilities)
        ]
        usable = [name for ready, name in able if ready]
        if usable:
            return f"Models that can: {', '.join(usable[:_NAMED])}."
        return f"No model that can is set up; {', '.join(name for _, name in able[:_NAMED])} could be."

    def embedding_route(self, model: str, key: str | None = None) -> Route:
        """Where an id of a model for embeddings leads; raises as ``route`` does, here for a model that makes none."""
        route = self._route(self.default_embedding() if model == DEFAULT_MODEL else model, key)
        if not route.model.embeds and route.model in route.provider.models(self._settings):
            usable = ", ".join(f"`{one}`" for one in self._embedding_ids(usable=True)) or "none is set up"
            hint = (
                " If it does, name it in YEOUL_COMPATIBLE_EMBEDDING_MODELS."
                if route.provider.name == "compatible"
                else ""
            )
            raise RequestRejected(f"`{route.id}` makes no embeddings. Models that do: {usable}.{hint}", model=route.id)
        return route

    def provider(self, model: str, *, embeds: bool = False) -> Provider | None:
        """Whose model it is, where the id says so; ``embeds``: what `default` means where embeddings are wanted."""
        if model == DEFAULT_MODEL:
            model = self.default_embedding() if embeds else self.default()
        return PROVIDERS.get(model.partition("/")[0])

    def _route(self, model: str, key: str | None) -> Route:
        provider_name, _, name = model.partition("/")
        provider = PROVIDERS.get(provider_name)
        if provider is None or not name:
            known = ", ".join(f"`{provider}/…`" for provider in PROVIDERS if provider != "fake")
            raise UnknownModel(
                f"There is no model `{model}`. A model's name begins with its provider: {known}. {_LIST}", model=model
            )
        settings = provider.with_key(self._settings, key)
        found = provider.find(name, settings)
        missing = provider.missing(settings) if found is None else provider.lacks(found, settings)
        if missing is not None:
            raise ModelNotReady(missing, model=model)
        if found is None:
            raise UnknownModel(f"There is no model `{model}` here. {_LIST}", model=model)
        return Route(provider, found, own_key=key is not None and provider.key_field is not None)

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
            first = next((model for model in provider.models(self._settings) if not model.embeds), None)
            if first is not None and provider.lacks(first, self._settings) is None:
                return f"{provider.name}/{first.name}"
        return f"local/{PROVIDERS['local'].models(self._settings)[0].name}"

    def default_embedding(self) -> str:
        """The id `default` stands for where embeddings are wanted.

        The setting's, else the local model, else the first of a provider that is set up. The local one goes first, so
        that a vendor's key which is added later does not put new vectors into another space than the old ones.
        """
        if (chosen := self._settings.default_embedding_model) is not None:
            if chosen == DEFAULT_MODEL:
                raise UnknownModel("YEOUL_DEFAULT_EMBEDDING_MODEL cannot be `default`: name a model.", model=chosen)
            return chosen
        usable = self._embedding_ids(usable=True)
        local = next((one for one in self._embedding_ids(usable=False) if one.startswith("local/")), "")
        return local if local in usable or not usable else usable[0]

    def _embedding_ids(self, *, usable: bool) -> list[str]:
        return [
            f"{provider.name}/{model.name}"
            for provider in PROVIDERS.values()
            for model in provider.models(self._settings)
            if model.embeds and not (usable and provider.lacks(model, self._settings))
        ]

    def models(self, held: Held | None = None) -> list[ModelInfo]:
        """Every listed model, the usable ones first: those usable to a user who holds such keys.

        Reads the price list once: call it off the event loop.
        """
        default, held = self.default(), held or Held()
        found = [
            self._info(provider, model, default, held)
            for provider in PROVIDERS.values()
            if provider.name != "fake" or self._settings.fake_models
            for model in provider.models(self._settings)
        ]
        provider_name, _, name = default.partition("/")
        if all(not info.default for info in found) and (provider := PROVIDERS.get(provider_name)) is not None:
            found.append(self._info(provider, KnownModel(name), default, held))
        return sorted(found, key=lambda info: not info.available)

    def _info(self, provider: Provider, model: KnownModel, default: str, held: Held) -> ModelInfo:
        facts = prices.facts(provider.price_list, model.name) if provider.price_list is not None else None
        price = None
        if provider.free:
            price = Prices(input=Decimal(0), output=Decimal(0))
        elif facts is not None and facts.input is not None and (facts.output is not None or model.embeds):
            price = Prices(input=facts.input, output=facts.output or Decimal(0))
        own = provider.key_field is not None and provider.name in held.own
        reason = provider.lacks(model, provider.with_key(self._settings, held.key_of(provider.name)))
        if held.required and not own and provider.key_field is not None and not provider.key_optional:
            reason = own_key_needed(provider)
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
            dimensions=model.dimensions,
            own_key=own,
        )


def own_key_needed(provider: Provider) -> str:
    """Says that a provider takes a key of one's own here, and where to store it."""
    return (
        f"{provider.title} is asked with keys of one's own here: store yours on the settings page, or with "
        f"PUT /api/provider-keys/{provider.name}."
    )
