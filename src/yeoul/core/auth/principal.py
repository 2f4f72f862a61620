"""Who is asking: one type for browsers and programs."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Role = Literal["user", "admin"]
Scope = Literal["read", "write"]

ALL_SCOPES: frozenset[Scope] = frozenset(("read", "write"))


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user, as the access token says, or a program with a key of theirs.

    Access tokens are not looked up: a role change, a disabled account or a revoked session takes effect when the
    token expires (``access_token_seconds``), since none of these gets a new one. Keys are looked up each time: what is
    changed about them holds at once. Streams and WebSockets end within seconds of a session or a key, and none begins
    after it.
    """

    user_id: UUID
    role: Role
    session_id: UUID | None
    via: Literal["bearer", "cookie", "key"]
    scopes: frozenset[Scope] = ALL_SCOPES
    key_id: UUID | None = None

    @property
    def credential_id(self) -> UUID | None:
        """The session or the key by which they are here."""
        return self.session_id or self.key_id

    @property
    def is_admin(self) -> bool:
        """Whether this is an administrator."""
        return self.role == "admin"
