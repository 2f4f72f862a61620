"""What a provider is to the rest of the room: a description that costs nothing, and a connection made on first use."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from yeoul.core.llm.errors import RequestRejected
from yeoul.core.llm.images import MEDIA_TYPES
from yeoul.core.llm.schemas import Capability, Parameters
from yeoul.settings import Settings

if TYPE_CHECKING:  # over a second to import, and the catalogue needs none of it
    from pydantic_ai.embeddings import EmbeddingModel
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings


OUTSIDE = "provider_keys"
"""The setting that holds the keys of providers from other packages, by name."""


@dataclass(frozen=True)
class KnownModel:
    """A model worth listing. What is None is looked up in the price list, by ``name``."""

    name: str
    title: str | None = None
    context: int | None = None
    capabilities: tuple[Capability, ...] = ("text", "stream")
    ignores: frozenset[str] = frozenset()
    """Parameters it does nothing with, beside those all of its provider's models ignore."""
    missing: Callable[[Settings], str | None] | None = None
    """What to do before it can be used, where that is not what its provider's other models need."""
    dimensions: int | None = None
    """Numbers in its vectors, of a model for embeddings."""

    @property
    def embeds(self) -> bool:
        """Whether it makes embeddings, and nothing else."""
        return "embeddings" in self.capabilities


@dataclass(frozen=True)
class Provider:
    """One provider. ``module`` holds ``connect(settings) -> Connection`` and is imported on first use."""

    name: str
    title: str
    module: str
    models: Callable[[Settings], Sequence[KnownModel]]
    """The models to list, the provider's default first."""
    missing: Callable[[Settings], str | None]
    """What to do before this provider can be used; None when it can."""
    open: bool = True
    """Whether names beyond ``models`` are passed on: vendors add models faster than we release."""
    price_list: str | None = None
    """The provider's id in genai-prices; None: prices are unknown."""
    free: bool = False
    ignores: frozenset[str] = frozenset()
    """Parameters its models do nothing with."""
    most: Mapping[str, float] = field(default_factory=dict)
    """The highest values its models take of parameters, where that is less than ``Parameters`` allow."""
    slots: Callable[[Settings], int | None] = lambda _: None
    """Calls it can answer at a time; None: as many as we like."""
    key_name: str | None = None
    """The environment variable of its key, for words."""
    key_field: str | None = None
    """The setting of its key, where users may bring one of their own; of another package's provider ``OUTSIDE``."""
    key_optional: bool = False
    """Whether it can be asked without a key: a server of the installation's own."""
    check_model: Callable[[Settings], str | None] = lambda _: None
    """The cheapest model to try a key with; None when there is none to try."""
    unlisted: Callable[[Settings], tuple[Capability, ...]] = lambda _: ("text", "stream")
    """What a model beyond ``models`` is taken to be capable of; its provider has the last word."""
    image_types: frozenset[str] = MEDIA_TYPES
    """The media types its models that read images take."""
    passes_input_type: bool = False
    """Whether an ``input_type`` that was asked for is sent on to its server."""

    def find(self, name: str, settings: Settings) -> KnownModel | None:
        """The model of this name; None when there is none."""
        listed = next((model for model in self.models(settings) if model.name == name), None)
        return listed or (KnownModel(name, capabilities=self.unlisted(settings)) if self.open and name else None)

    def with_key(self, settings: Settings, key: str | None) -> Settings:
        """The settings with somebody's own key in place of the installation's; without a key, the same."""
        if key is None or self.key_field is None:
            return settings
        theirs = SecretStr(key)
        keys = {**settings.provider_keys, self.name: theirs}
        return settings.model_copy(update={self.key_field: keys if self.key_field == OUTSIDE else theirs})

    def honours(self, model: KnownModel) -> list[str]:
        """The parameters a model honours."""
        if model.embeds:
            return [name for name in ("dimensions", "input_type") if name not in model.ignores]
        return [name for name in Parameters.model_fields if name not in self.ignores | model.ignores]

    def beyond(self, model: KnownModel, parameters: Parameters) -> dict[str, str]:
        """The parameters whose values a model does not take, though it honours them: name and what it does take."""
        given = parameters.model_dump(exclude_none=True)
        honoured = [name for name in self.honours(model) if name in self.most and name in given]
        return {
            name: f"`{self.name}/{model.name}` takes `{name}` from 0 to {self.most[name]:g}, not {given[name]:g}."
            for name in honoured
            if given[name] > self.most[name]
        }

    def lacks(self, model: KnownModel, settings: Settings) -> str | None:
        """What to do before this model can be used; None when it can."""
        return (model.missing or self.missing)(settings)


class Connection(ABC):
    """An open provider: its HTTP client, or its process. Lives as long as the gateway, at most."""

    settings: "ModelSettings"
    """Goes below the parameters of every request."""

    @abstractmethod
    async def model(self, name: str) -> "Model":
        """The model of this name, ready to be called. Raises a ``ModelError`` when it cannot be."""

    async def embedder(self, name: str) -> "EmbeddingModel":
        """The model of this name that makes embeddings, ready to be called. Raises a ``ModelError`` without one."""
        raise RequestRejected(f"`{name}` makes no embeddings. GET /api/models shows which models do.", model=name)

    def leave_account(self) -> None:
        """Names no account beside the key, as a user's own key belongs to another one than the environment's."""
        return

    async def aclose(self) -> None:
        """Closes it for good."""
        return
