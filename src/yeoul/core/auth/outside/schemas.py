"""What clients send and get about outside providers."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from yeoul.core.auth.outside.issuer import MAX_TOKEN_LENGTH


class OutsideToken(BaseModel):
    """The JWT that a provider gave to its user: an access or ID token."""

    model_config = ConfigDict(hide_input_in_errors=True)

    token: str | None = Field(default=None, max_length=MAX_TOKEN_LENGTH)


class Returned(BaseModel):
    """What a browser brings back from a provider, in the address. ``iss``: whose answer it is (RFC 9207)."""

    state: str = Field(default="", max_length=200)
    code: str | None = Field(default=None, max_length=4_096)
    error: str | None = Field(default=None, max_length=200)
    iss: str | None = Field(default=None, max_length=500)


class ProviderOut(BaseModel):
    """A provider to offer on a sign-in page: a link to ``url``, or to ``url?next=/where/to``."""

    name: str
    label: str
    url: str


class ProvidersOut(BaseModel):
    """Every provider to offer, in the order of the settings."""

    items: list[ProviderOut]


class IdentityOut(BaseModel):
    """A way to sign in to one's own account from outside. ``email`` is what the provider said when it was linked."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    created_at: datetime
    last_used_at: datetime
