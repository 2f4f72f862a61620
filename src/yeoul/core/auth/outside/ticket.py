"""What a browser carries while its user is at a provider: a signed cookie, so that the server keeps nothing.

It holds a random id. The ``state`` and the ``nonce`` that the provider sends back, and the PKCE verifier that it asks
for, follow from the id and our key: nobody but this server can tell them, so they need not be in the cookie.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt

from yeoul.core.auth.tokens import ALGORITHM, ISSUER, derive

AUDIENCE: Final = "yeoul:sign-in"
SECONDS: Final = 600
"""How long somebody may take at the provider."""

_COOKIE = "yeoul_signin_"
_STATE_IN_NAME = 8


@dataclass(frozen=True, slots=True)
class Ticket:
    """One sign-in under way. ``link``: the session whose user wants this identity added to their account."""

    provider: str
    next: str
    link: UUID | None
    state: str
    nonce: str
    verifier: str

    @property
    def cookie(self) -> str:
        """The name of its cookie: one for each sign-in under way, so that two tabs do not spoil each other's."""
        return cookie_name(self.state)


def cookie_name(state: str) -> str:
    """The name of the cookie that belongs to a state."""
    return _COOKIE + state[:_STATE_IN_NAME]


class Tickets:
    """Writes and reads tickets."""

    def __init__(self, signing_key: str) -> None:
        self._key = derive(signing_key, AUDIENCE)

    def issue(self, provider: str, then: str, link: UUID | None) -> tuple[Ticket, str]:
        """A new ticket, and its cookie's value."""
        number = secrets.token_hex(32)
        claims: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "jti": number, "provider": provider, "next": then}
        if link is not None:
            claims["link"] = str(link)
        claims["exp"] = datetime.now(UTC) + timedelta(seconds=SECONDS)
        return self._ticket(claims), jwt.encode(claims, self._key, ALGORITHM)

    def read(self, value: str | None, provider: str, state: str) -> Ticket | None:
        """The ticket in a cookie; null when it is not ours, too old, another provider's, or not of this state."""
        options: Any = {"require": ["iss", "aud", "exp", "jti"]}
        try:
            claims = jwt.decode(
                value or "", self._key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options
            )
        except jwt.PyJWTError:
            return None
        ticket = self._ticket(claims)
        is_same = hmac.compare_digest(ticket.state.encode(), state.encode("utf-8", "replace"))
        return ticket if is_same and ticket.provider == provider else None

    def _ticket(self, claims: dict[str, Any]) -> Ticket:
        link = UUID(claims["link"]) if "link" in claims else None
        state, nonce, verifier = (self._derived(claims["jti"], use) for use in ("state", "nonce", "verifier"))
        return Ticket(claims["provider"], claims["next"], link, state, nonce, verifier)

    def _derived(self, number: str, use: str) -> str:
        digest = hmac.digest(self._key, f"{use}:{number}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
