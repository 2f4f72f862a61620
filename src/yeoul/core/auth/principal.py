"""Who is asking: one type for browsers and programs."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user, as the access token says.

    Access tokens are not looked up: a role change, a disabled account or a revoked session takes effect when the
    token expires (``access_token_seconds``), since none of these gets a new one.
    """

    user_id: UUID
    role: Role
    session_id: UUID | None
    via: Literal["bearer", "cookie"]

    @property
    def is_admin(self) -> bool:
        """Whether this is an administrator."""
        return self.role == "admin"
