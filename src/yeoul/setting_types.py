"""Values of settings that are more than a word: outside providers, limits of models, safe addresses."""

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator


def is_loopback(url: str) -> bool:
    """Whether an address names this very machine."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def safe_url(url: str) -> str:
    """The address, when nothing is hidden in it and nobody on the way can read along; raises ``ValueError``."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.fragment or re.search(r"[\s\\]", url):
        raise ValueError("must be a plain https address")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise ValueError("must begin with https:// (http:// only on this machine)")
    return url


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


SafeUrl = Annotated[str, AfterValidator(safe_url)]
"""An https address; http only on this machine, for tries and tests."""

Asymmetric = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
EmailTrust = Literal["claim", "always", "never"]
_OUTSIDE = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TrustedIssuer(BaseModel):
    """An outside provider whose JWTs sign people in at ``POST /api/auth/session``.

    Its tokens are verified with the keys at ``jwks_url`` (found through the issuer's discovery document when unset), or
    with ``secret`` (HS256). ``email_verified`` says whether to believe an email: as the token's own claim says, always
    (the provider lets in nobody whose email is not confirmed), or never.
    """

    model_config = _OUTSIDE

    issuer: str = Field(min_length=1, max_length=500)
    audience: Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
    jwks_url: SafeUrl | None = None
    secret: SecretStr | None = Field(default=None, min_length=32)
    algorithms: Annotated[tuple[Asymmetric, ...], BeforeValidator(_several)] = ()
    email_verified: EmailTrust = "claim"

    @model_validator(mode="after")
    def _keys_or_secret(self) -> Self:
        if self.secret is not None and (self.jwks_url or self.algorithms):
            raise ValueError("a secret goes with HS256 alone: leave out jwks_url and algorithms")
        if self.secret is None and self.jwks_url is None:
            safe_url(self.issuer)  # its discovery document is fetched
        return self


class OidcProvider(BaseModel):
    """An OpenID Connect provider that the sign-in page offers: ``name`` in addresses, ``label`` on its button."""

    model_config = _OUTSIDE

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    issuer: SafeUrl
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: SecretStr | None = None
    label: str = Field(default="", max_length=100)
    scopes: str = Field(default="openid email profile", pattern=r"(^|\s)openid(\s|$)")
    algorithms: Annotated[tuple[Asymmetric, ...], BeforeValidator(_several)] = ()
    email_verified: EmailTrust = "claim"


class ModelLimit(BaseModel):
    """What a provider, or one model of it, may be asked in any minute by all processes together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10_000_000_000)

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise ValueError("give requests_per_minute, tokens_per_minute or both")
        return self
