"""Every setting of the installation, read from ``YEOUL_*`` environment variables or a ``.env`` file.

``docs/reference/settings.md`` is generated from this class, so a field's description is its documentation.
"""

import hmac
import json
import os
import re
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from yeoul.setting_types import ModelLimit, OidcProvider, TrustedIssuer, safe_url

Entry = TypeVar("Entry")


def _key(name: str, *usual: str, description: str) -> SecretStr | None:
    """A secret that is also read from the environment variables its vendor's own SDK uses."""
    return Field(default=None, validation_alias=AliasChoices(f"YEOUL_{name}", *usual), description=description)


def _url(name: str, *usual: str, description: str) -> str | None:
    return Field(default=None, validation_alias=AliasChoices(f"YEOUL_{name}", *usual), description=description)


def _without_repeats(value: list[Entry], names: list[str]) -> list[Entry]:
    if len(set(names)) < len(names):
        raise ValueError("names one of its entries twice")
    return value


class Settings(BaseSettings):
    """Where the data lives, how to reach the outside, and the limits."""

    model_config = SettingsConfigDict(
        env_prefix="YEOUL_",
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    # Where things are
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("yeoul"),
        description="Folder of everything Yeoul keeps: the embedded database, model weights, the secret key.",
    )
    models_dir: Path | None = Field(
        default=None, description="Folder of model weights. Default: `models` in the data folder."
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port the API listens on; 0 picks a free one.")
    public_url: str | None = Field(
        default=None,
        description="Address browsers use, such as `https://ai.example.com`. An `https` address makes cookies Secure.",
    )
    allowed_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Other origins whose pages may call the API (CORS), comma-separated."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Names this server answers to, beside addresses in numbers and `localhost`, comma-separated; `*`: "
        "any. Unset: the name in `public_url`; without that, none other while `host` is this machine alone, else any.",
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default=["127.0.0.1", "::1"],
        description="Proxies whose `X-Forwarded-For` and `-Proto` are believed, comma-separated addresses or networks. "
        "Failed sign-ins are counted by the address they tell.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Bearer token that `/metrics` asks for. "
        "Unset: metrics are for this machine only, not through a proxy.",
    )

    # Database
    database_url: str | None = Field(
        default=None,
        description="PostgreSQL address of the `yeoul_app` login. Unset: an embedded PostgreSQL in the data folder.",
    )
    service_database_url: str | None = Field(
        default=None, description="The same database as the `yeoul_service` login. Needed when `database_url` is set."
    )
    admin_database_url: str | None = Field(
        default=None,
        description="An administrator's address. `yeoul migrate` and `yeoul restore` need it; where it is set, "
        "`serve`, `api`, `worker` and the commands that work with users, jobs or schedules migrate before they begin.",
    )
    database_pool_size: int = Field(
        default=8, ge=2, le=200, description="Connections each of the two pools may open, per process."
    )

    # Accounts
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Signs tokens. Unset: made once and kept in the data folder; several machines must share one.",
    )
    access_token_seconds: int = Field(default=900, ge=60, le=86400, description="Life of an access token, in seconds.")
    refresh_token_days: int = Field(default=30, ge=1, le=365, description="Life of a refresh token, in days.")
    registration: Literal["open", "closed"] = Field(default="open", description="Whether strangers may register.")
    first_user_is_admin: bool = Field(
        default=True, description="Whether the first registered user is an administrator."
    )
    registrations_per_address: int = Field(
        default=30, ge=1, description="New accounts one address may make in 15 minutes."
    )
    login_attempts: int = Field(
        default=10,
        ge=1,
        description="Failed sign-ins allowed per account and per address in 15 minutes; "
        "likewise keys of model providers that they refuse.",
    )

    # Users' own keys of model providers
    user_keys: Literal["prefer", "require", "off"] = Field(
        default="prefer",
        description="Whose key a user's work is done with: `prefer` their own where they stored one, else the "
        "installation's; `require` their own alone, at vendors; `off` the installation's alone.",
    )
    vault_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Encrypts what users entrust to us, such as their keys of model providers. "
        "Unset: derived from `secret_key`.",
    )
    vault_old_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default_factory=list,
        description="Former values of `vault_key` (or of `secret_key`, where that was the one), comma-separated, until "
        "`yeoul rotate-vault` has run.",
    )

    # Outside providers
    trusted_issuers: Annotated[list[TrustedIssuer], NoDecode] = Field(
        default_factory=list,
        description="Providers whose JWTs sign people in: a JSON list of `{issuer, audience}` with `jwks_url` or "
        "`secret`, `algorithms` and `email_verified` as needed.",
    )
    supabase_url: str | None = Field(
        default=None, description="Address of a Supabase project whose users may sign in: a trusted issuer in short."
    )
    supabase_jwt_secret: SecretStr | None = Field(
        default=None, min_length=32, description="Its legacy JWT secret. Unset: the project's signing keys are fetched."
    )
    oidc_providers: Annotated[list[OidcProvider], NoDecode] = Field(
        default_factory=list,
        description="Providers the sign-in page offers: a JSON list of "
        "`{name, issuer, client_id, client_secret, label}`.",
    )
    google_client_id: str | None = Field(
        default=None, description="OAuth client of sign-in with Google: an OIDC provider in short."
    )
    google_client_secret: SecretStr | None = Field(default=None, description="That client's secret.")

    # Jobs
    worker_concurrency: int = Field(default=50, ge=1, le=1000, description="Jobs one worker process runs at a time.")
    worker_kinds: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="The kinds of jobs one worker process runs, comma-separated. Empty: every kind.",
    )
    lease_seconds: float = Field(
        default=10, ge=1, le=600, description="How long a silent worker keeps its jobs, in seconds."
    )
    drain_seconds: float = Field(
        default=20, ge=0, description="How long a stopping worker lets its jobs finish, in seconds."
    )
    max_attempts: int = Field(
        default=3, ge=1, le=25, description="Attempts a job gets unless its kind or its submit says otherwise."
    )
    user_max_priority: int = Field(
        default=7, ge=0, le=9, description="Highest job priority an ordinary user may ask for."
    )
    max_input_bytes: int = Field(default=262_144, ge=1024, description="Largest input of one job, in bytes of JSON.")
    max_body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest body without images, in bytes.")
    user_share: float = Field(
        default=0.8, gt=0, le=1, description="Share of all workers' slots that one user's jobs may take at a time."
    )
    max_running_per_user: int | None = Field(
        default=None,
        ge=1,
        description="Jobs of one user that may run at a time, on all workers. Unset: by share alone.",
    )
    max_running_per_kind: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Jobs of a kind that may run at a time, on all workers: a JSON object such as "
        '`{"llm.complete": 20}`. 0 holds a kind back.',
    )
    max_queued_per_user: int = Field(
        default=20_000,
        ge=1,
        description="Jobs one user may have waiting at a time. Above 1,000 not every submit counts them, so a few more "
        "may slip in.",
    )

    keep_jobs_days: int = Field(
        default=0, ge=0, le=36_500, description="Days a finished job is kept, with its result and events; 0: for ever."
    )
    keep_events_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Days the events of finished jobs are kept, then whole days of them are dropped; jobs and results "
        "stay. 0: as long as the jobs.",
    )
    schedules_per_user: int = Field(default=50, ge=0, le=10_000, description="Schedules one user may have.")
    schedule_min_seconds: int = Field(
        default=60, ge=1, le=86_400, description="Shortest interval of an ordinary user's schedule, in seconds."
    )

    doorbell: str = Field(
        default="postgres",
        description="What wakes workers: `postgres`, or the address of a Redis (`redis://`, `rediss://`) or a RabbitMQ "
        "(`amqp://`, `amqps://`). The same for all processes.",
    )

    # Models
    default_model: str | None = Field(
        default=None,
        description="What the model id `default` means. Unset: the first configured provider's, else the local model.",
    )
    default_embedding_model: str | None = Field(
        default=None,
        description="What the model id `default` means where embeddings are wanted. Unset: the local model's, else the "
        "first configured provider's. Vectors of two models cannot be compared.",
    )
    openai_api_key: SecretStr | None = _key("OPENAI_API_KEY", "OPENAI_API_KEY", description="Key of provider `openai`.")
    openai_base_url: str | None = _url(
        "OPENAI_BASE_URL", "OPENAI_BASE_URL", description="Another address for provider `openai`."
    )
    anthropic_api_key: SecretStr | None = _key(
        "ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY", description="Key of provider `anthropic`."
    )
    anthropic_base_url: str | None = _url(
        "ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL", description="Another address for provider `anthropic`."
    )
    gemini_api_key: SecretStr | None = _key(
        "GEMINI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", description="Key of provider `gemini`."
    )
    gemini_base_url: str | None = _url(
        "GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", description="Another address for provider `gemini`."
    )
    perplexity_api_key: SecretStr | None = _key(
        "PERPLEXITY_API_KEY", "PERPLEXITY_API_KEY", description="Key of provider `perplexity`."
    )
    perplexity_base_url: str | None = _url(
        "PERPLEXITY_BASE_URL", description="Another address for provider `perplexity`."
    )
    provider_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(
        default_factory=dict, description='Keys of providers from other packages, as JSON: `{"name": "key"}`.'
    )
    compatible_base_url: str | None = _url(
        "COMPATIBLE_BASE_URL",
        description="Address of an OpenAI-compatible server (Ollama, vLLM, …): provider `compatible`.",
    )
    compatible_api_key: SecretStr | None = _key(
        "COMPATIBLE_API_KEY", description="Key of provider `compatible`, if it wants one."
    )
    compatible_models: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Model names to list for provider `compatible`, comma-separated."
    )
    compatible_image_models: Annotated[list[str], NoDecode] = Field(default=[], description="Those that read images.")
    compatible_json_schema: bool = Field(default=True, description="Whether that server keeps to a JSON Schema.")
    compatible_embedding_models: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Names of models for embeddings to list for provider `compatible`, comma-separated.",
    )
    local_model: str = Field(
        default="smollm2-135m",
        description="The local model: a name of `yeoul models list` or a path to a `.gguf` file.",
    )
    local_enabled: bool = Field(
        default=True, description="Whether the local model is offered (it needs the extra `local`)."
    )
    local_url: str | None = Field(
        default=None,
        description="Address of a `yeoul llm` that runs the local model for this process, such as "
        "`http://10.0.0.5:8010`. Unset: each process that is asked starts a model of its own.",
    )
    local_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What `yeoul llm` asks of its callers. Unset: a key derived from `secret_key`, the same wherever "
        "that is the same.",
    )
    local_threads: int | None = Field(
        default=None, ge=1, description="Threads of the local model. Default: one less than the cores."
    )
    local_context: int = Field(default=4096, ge=512, description="Context of the local model, in tokens.")
    local_parallel: int = Field(
        default=2, ge=1, le=64, description="Answers the local model gives at a time; each takes a context."
    )
    hub_url: str = Field(
        default="https://huggingface.co",
        validation_alias=AliasChoices("YEOUL_HUB_URL", "HF_ENDPOINT"),
        description="The model hub that weights are downloaded from first.",
    )
    fake_models: bool = Field(
        default=False, description="Whether the scripted models of provider `fake` are offered (tests, demos)."
    )
    model_timeout_seconds: float = Field(default=600, ge=1, description="Longest one model call may take, in seconds.")
    model_idle_seconds: float = Field(
        default=120, ge=1, description="Longest silence inside one model call, in seconds."
    )
    model_limits: Annotated[dict[str, ModelLimit], NoDecode] = Field(
        default_factory=dict,
        description="What providers and models may be asked by all processes together: a JSON object from `provider` "
        "or `provider/model` to `{requests_per_minute, tokens_per_minute}`. The same for all processes.",
    )
    model_wait_seconds: float = Field(
        default=86_400,
        ge=1,
        le=604_800,
        description="How long a job waits for a model that takes no calls before it fails, in seconds.",
    )
    breaker_failures: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="Failures of a model in a row after which it is left alone for a while; 0: never.",
    )
    breaker_seconds: float = Field(
        default=10,
        ge=0.1,
        le=3600,
        description="How long it is left alone at first, in seconds; twice as long each further time, up to 300.",
    )

    # Traces and metrics
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("YEOUL_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Address of an OpenTelemetry collector that takes OTLP over HTTP, such as "
        "`http://127.0.0.1:4318`: traces are sent to its `/v1/traces`. Unset: no traces. Needs the extra `otel`.",
    )
    trace_content: bool = Field(
        default=False, description="Whether traces hold prompts and answers too. They are private: think twice."
    )
    worker_metrics: str | None = Field(
        default=None,
        description="Where `yeoul worker` serves its own metrics, such as `127.0.0.1:9101`; without a token, so not "
        "where strangers reach it. Unset: nowhere.",
    )

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line to log."
    )
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`auto`: human in a terminal, JSON elsewhere."
    )

    @field_validator(
        "allowed_origins",
        "allowed_hosts",
        "trusted_proxies",
        "compatible_models",
        "compatible_image_models",
        "compatible_embedding_models",
        "worker_kinds",
        "vault_old_keys",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("doorbell")
    @classmethod
    def _postgres_or_broker(cls, value: str) -> str:
        try:
            at = urlsplit(value)
            known = at.scheme in {"redis", "rediss", "amqp", "amqps"} and bool(at.hostname) and at.port != 0
        except ValueError:  # no port is that
            known = False
        if value != "postgres" and not known:
            raise ValueError(
                "must be postgres, or an address like redis://host:6379 or amqp://user:password@host:5672/vhost "
                "(rediss:// and amqps:// with TLS)"
            )
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        if not value:
            return None
        if urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname:
            raise ValueError("must be an address like http://127.0.0.1:4318: OTLP over HTTP, not gRPC")
        return value

    @field_validator("worker_metrics")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if not value:
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
            raise ValueError("must be an address and a port, such as 127.0.0.1:9101")
        return value

    @field_validator("trusted_issuers", "oidc_providers", mode="before")
    @classmethod
    def _read_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "[]")
        except ValueError:
            raise ValueError("must be a JSON list of objects") from None  # the text may hold a secret

    @field_validator("model_limits", "provider_keys", mode="before")
    @classmethod
    def _read_object(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except ValueError:
            raise ValueError("must be a JSON object") from None

    @field_validator("model_limits")
    @classmethod
    def _named_by_provider(cls, value: dict[str, ModelLimit]) -> dict[str, ModelLimit]:
        for name in value:
            if not re.fullmatch(r"[a-z]+(/\S{1,180})?", name):
                raise ValueError(f"{name[:50]!r} is neither `provider` nor `provider/model`")
        return value

    @field_validator("supabase_url")
    @classmethod
    def _plain_https(cls, value: str | None) -> str | None:
        return None if value is None else safe_url(value)

    @field_validator("trusted_issuers", "oidc_providers")
    @classmethod
    def _one_each(cls, value: list[TrustedIssuer | OidcProvider]) -> list[TrustedIssuer | OidcProvider]:
        return _without_repeats(value, [one.issuer if isinstance(one, TrustedIssuer) else one.name for one in value])

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url is None

    @property
    def weights_dir(self) -> Path:
        """Folder of model weights."""
        return self.models_dir or self.data_dir / "models"

    @cached_property
    def all_trusted_issuers(self) -> tuple[TrustedIssuer, ...]:
        """``trusted_issuers``, and the Supabase project."""
        issuer = (self.supabase_url or "").rstrip("/") + "/auth/v1"
        if self.supabase_url is None or any(other.issuer == issuer for other in self.trusted_issuers):
            return tuple(self.trusted_issuers)
        secret = self.supabase_jwt_secret
        jwks_url = None if secret else f"{issuer}/.well-known/jwks.json"
        supabase = TrustedIssuer(issuer=issuer, audience=("authenticated",), jwks_url=jwks_url, secret=secret)
        return (*self.trusted_issuers, supabase)

    @cached_property
    def all_oidc_providers(self) -> tuple[OidcProvider, ...]:
        """``oidc_providers``, and Google."""
        if self.google_client_id is None or any(provider.name == "google" for provider in self.oidc_providers):
            return tuple(self.oidc_providers)
        google = OidcProvider(
            name="google",
            issuer="https://accounts.google.com",
            client_id=self.google_client_id,
            client_secret=self.google_client_secret,
            label="Google",
        )
        return (google, *self.oidc_providers)

    @property
    def vault_keys(self) -> list[str]:
        """Keys of the vault, the present one first."""
        present = self.signing_key if self.vault_key is None else self.vault_key.get_secret_value()
        return [present, *(key.get_secret_value() for key in self.vault_old_keys)]

    @property
    def local_token(self) -> str:
        """The key between ``yeoul llm`` and its callers. From one that is derived nobody learns the signing key."""
        if self.local_key is not None:
            return self.local_key.get_secret_value()
        return hmac.digest(self.signing_key.encode(), b"yeoul llm", "sha256").hex()

    @cached_property
    def signing_key(self) -> str:
        """The key that signs tokens: the setting, or one made once and kept in the data folder with mode 0600."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        path = self.data_dir / "secret.key"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (
            suppress(FileExistsError),
            os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file,
        ):
            file.write(secrets.token_urlsafe(48))
        return path.read_text().strip()
