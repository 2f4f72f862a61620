"""What clients send and get about API keys."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from yeoul.core.auth.principal import Scope
from yeoul.core.auth.schemas import plain_name

MAX_NAME = 100


def _name(name: str) -> str:
    plain = plain_name(name)
    if plain is None:
        raise ValueError("must say what the key is for")
    return plain


def _in_order(scopes: list[Scope]) -> list[Scope]:
    return sorted(set(scopes))


def _to_come(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


class KeyRequest(BaseModel):
    """A key to make. ``scopes``: ``read`` (GET), ``write`` (everything else); both by default. No end by default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "nightly import", "scopes": ["read", "write"]}]})

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_name)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=2), AfterValidator(_in_order)] = ["read", "write"]
    expires_at: Annotated[AwareDatetime, AfterValidator(_to_come)] | None = None


class KeyOut(BaseModel):
    """A key as lists show it: never the key itself. ``last_used_at`` is right to the minute."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class KeyMade(KeyOut):
    """A new key. ``key`` is shown this once."""

    key: str
