"""What clients send and get."""

import unicodedata
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import email_validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from yeoul.core.auth.principal import Role

# An email is the name one signs in with; nothing is mailed to it here. So names that no public mail server has, such as
# user@host.test or user@office.local, are as good as any.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MIN_PASSWORD, MAX_PASSWORD = 8, 256


def normalise_email(text: str) -> str:
    """The one spelling of an email address: NFC, lower case. Raises ``ValueError`` when it is none."""
    checked = email_validator.validate_email(text.strip(), check_deliverability=False, globally_deliverable=False)
    return checked.normalized.lower()


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be well-formed Unicode")
    return text


def plain_name(name: str) -> str | None:
    """A name without blanks around it; null when nothing is left."""
    return _storable(name).strip() or None


def _password(secret: SecretStr) -> SecretStr:
    # NFC: keyboards differ in how they compose the same Korean or accented letter.
    return SecretStr(unicodedata.normalize("NFC", _storable(secret.get_secret_value())))


Email = Annotated[str, Field(max_length=320), AfterValidator(normalise_email)]
_CONFIG = ConfigDict(
    hide_input_in_errors=True,  # it may be a password, and errors are logged
    json_schema_extra={"examples": [{"email": "mina@example.com", "password": "a long passphrase"}]},
)


class Registration(BaseModel):
    """A new account: the password has 8 to 256 characters, the name at most 200."""

    model_config = _CONFIG

    email: Email
    password: Annotated[SecretStr, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD), AfterValidator(_password)]
    name: Annotated[str, Field(max_length=200), AfterValidator(plain_name)] | None = None


class Credentials(BaseModel):
    """Email and password."""

    model_config = _CONFIG

    email: Email
    password: Annotated[SecretStr, Field(max_length=MAX_PASSWORD), AfterValidator(_password)]


class RefreshToken(BaseModel):
    """A refresh token. Browsers send none: theirs is in a cookie."""

    refresh_token: str | None = Field(default=None, max_length=2048)


class UserOut(BaseModel):
    """An account as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str | None
    role: Role
    created_at: datetime


class Access(BaseModel):
    """An access token for ``Authorization: Bearer``, good for ``expires_in`` seconds."""

    user: UserOut
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  (its name on the wire)
    expires_in: int


class SignedIn(Access):
    """An access token, and the refresh token that gets the next pair. Each refresh token is good for one use."""

    refresh_token: str


class SessionOut(BaseModel):
    """An open sign-in of one's own. ``last_used_at`` is when it last got new tokens; ``current``: the one asking."""

    id: UUID
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool
