"""What clients send and get."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

SHORTEST, LONGEST = 8, 500


def _plain(secret: SecretStr) -> SecretStr:
    key = secret.get_secret_value().strip()
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"a key has {SHORTEST} to {LONGEST} characters")
    if not key.isascii() or not key.isprintable() or " " in key:  # it is sent in a header
        raise ValueError("a key has letters, digits and signs alone, no blanks: copy it anew")
    return SecretStr(key)


class KeyGiven(BaseModel):
    """A key of a provider, 8 to 500 characters; blanks around it are dropped."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,  # errors are logged
        json_schema_extra={"examples": [{"key": "sk-…"}]},
    )

    key: Annotated[SecretStr, Field(max_length=2 * LONGEST), AfterValidator(_plain)]


class ProviderKey(BaseModel):
    """A stored key as its owner sees it: never the key itself."""

    provider: str
    title: str = Field(description="The provider's name for people.")
    hint: str = Field(description="The last characters of the key; empty for a short one.")
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")


class Stored(ProviderKey):
    """A key that has just been stored."""

    checked: bool = Field(description="Whether the provider accepted it.")
    note: str | None = Field(description="What else the provider said, such as that the account is empty.")


class Offered(BaseModel):
    """A provider that takes keys of one's own."""

    provider: str
    title: str


class ProviderKeys(BaseModel):
    """Your keys, all on one page; the providers there may be keys for, and whose keys your work is done with."""

    items: list[ProviderKey]
    next_cursor: None = None
    providers: list[Offered]
    policy: Literal["prefer", "require", "off"] = Field(
        description="`prefer`: yours where there is one, else the installation's; `require`: yours alone, at vendors; "
        "`off`: the installation's alone."
    )
