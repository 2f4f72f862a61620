"""Users' own keys of providers, as this room needs to know them. ``core/runtime`` decides whose key a call uses."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from yeoul.core.llm.errors import ModelError

_PART = 8
"""Characters of a key that give it away."""


@dataclass(frozen=True)
class Held:
    """What a user may call with: ``own`` are the providers they stored a key for.

    ``required``: vendors are called with own keys alone, never with the installation's.
    """

    own: frozenset[str] = frozenset()
    required: bool = False

    def key_of(self, provider: str) -> str | None:
        """What stands for their own key where nobody is asked with it; null: they have none of this provider."""
        return "theirs" if provider in self.own else None


class KeySource(Protocol):
    """Knows whose key a call uses."""

    async def key(self, owner_id: UUID, model: str, *, embeds: bool = False) -> str | None:
        """The owner's own key for this model's provider; null: the installation's. Raises a ``YeoulError``."""

    async def held(self, owner_id: UUID) -> Held:
        """What the owner may call with."""


@contextmanager
def kept_out(key: str | None) -> Generator[None]:
    """Takes a user's key out of what goes wrong inside: some providers repeat it in their errors."""
    try:
        yield
    except ModelError as error:
        if key is not None:
            error.detail = hidden(error.detail, key)
            error.args = (error.detail,)
            error.said = None if error.said is None else hidden(error.said, key)
            # Its causes hold the provider's answer, and whoever logs the error would log them.
            error.__cause__ = error.__context__ = None
        raise


def hidden(text: str, key: str) -> str:
    """A text without the words that hold a key, or a part of it; what is starred out goes too."""
    parts = {key[at : at + _PART] for at in range(max(len(key) - _PART, 0) + 1)}
    return " ".join("…" if "***" in word or any(part in word for part in parts) else word for word in text.split(" "))
