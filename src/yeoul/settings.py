"""Every setting of the installation, read from ``YEOUL_*`` environment variables or a ``.env`` file.

``docs/reference/settings.md`` is generated from this class, so a field's description is its documentation.
"""

import os
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _key(name: str, *usual: str, description: str) -> SecretStr | None:
    """A secret that is also read from the environment variables its vendor's own SDK uses."""
    return Field(default=None, validation_alias=AliasChoices(f"YEOUL_{name}", *usual), description=description)


def _url(name: str, *usual: str, description: str) -> str | None:
    return Field(default=None, validation_alias=AliasChoices(f"YEOUL_{name}", *usual), description=description)


class Settings(BaseSettings):
    """Where the data lives, how to reach the outside, and the limits."""

    model_config = SettingsConfigDict(env_prefix="YEOUL_", env_file=".env", extra="ignore", populate_by_name=True)

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
        description="An administrator's address, used by `yeoul migrate` alone to create roles and tables.",
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
        default=10, ge=1, description="Failed sign-ins allowed per account and per address in 15 minutes."
    )

    # Jobs
    worker_concurrency: int = Field(default=50, ge=1, le=1000, description="Jobs one worker process runs at a time.")
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
    max_body_bytes: int = Field(
        default=1_048_576, ge=1024, description="Largest request body outside file uploads, in bytes."
    )
    max_queued_per_user: int = Field(default=20_000, ge=1, description="Jobs one user may have waiting at a time.")

    # Models
    default_model: str | None = Field(
        default=None,
        description="What the model id `default` means. Unset: the first configured provider's, else the local model.",
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
    local_model: str = Field(
        default="smollm2-135m",
        description="The local model: a name of `yeoul models list` or a path to a `.gguf` file.",
    )
    local_enabled: bool = Field(
        default=True, description="Whether the local model is offered (it needs the extra `local`)."
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

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line to log."
    )
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`auto`: human in a terminal, JSON elsewhere."
    )

    @field_validator("allowed_origins", "trusted_proxies", "compatible_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url is None

    @property
    def weights_dir(self) -> Path:
        """Folder of model weights."""
        return self.models_dir or self.data_dir / "models"

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
