"""Access and refresh tokens: HS256 JWTs, each kind with a key and an audience of its own.

An access token says who its bearer is and is not looked up. A refresh token names a session and carries a random
``jti`` whose hash the session holds. The next ``jti`` follows from the former and the key: who presents the same token
twice within the grace window gets the same successor, so two tabs that refresh at once end up with the same one.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args
from uuid import UUID

import jwt

from yeoul.core.auth.errors import SessionEnded, TokenExpired, TokenInvalid
from yeoul.core.auth.principal import Role

ISSUER = "yeoul"
ACCESS, REFRESH = "yeoul:access", "yeoul:refresh"
ALGORITHM = "HS256"
LEEWAY = timedelta(seconds=5)
MAX_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says."""

    user_id: UUID
    role: Role
    session_id: UUID


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """What a refresh token says. ``secret`` is the random part, of which sessions keep the hash."""

    session_id: UUID
    secret: bytes


class Tokens:
    """Makes and reads tokens with keys derived from ``signing_key``."""

    def __init__(self, signing_key: str, access_seconds: int) -> None:
        self.access_seconds = access_seconds
        self._keys = {use: derive(signing_key, use) for use in (ACCESS, REFRESH)}
        self._successor_key = derive(signing_key, "yeoul:refresh-successor")

    def access(self, user_id: UUID, role: Role, session_id: UUID) -> str:
        """A fresh access token."""
        now = datetime.now(UTC)
        claims = {"sub": str(user_id), "sid": str(session_id), "role": role, "iat": now}
        return self._sign(ACCESS, {**claims, "exp": now + timedelta(seconds=self.access_seconds)})

    def read_access(self, token: str, *, even_expired: bool = False) -> AccessClaims:
        """What a token says; raises ``TokenExpired`` or ``TokenInvalid``."""
        try:
            claims = self._read(ACCESS, token, "role", "sub", even_expired=even_expired)
            role = claims["role"]
            if role not in get_args(Role):
                raise TokenInvalid
            return AccessClaims(UUID(claims["sub"]), cast("Role", role), UUID(claims["sid"]))
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.InvalidTokenError, ValueError):
            raise TokenInvalid from None

    def refresh(self, session_id: UUID, secret: bytes, expires_at: datetime) -> str:
        """The refresh token with this secret."""
        return self._sign(REFRESH, {"sid": str(session_id), "jti": secret.hex(), "exp": expires_at})

    def read_refresh(self, token: str, *, even_expired: bool = False) -> RefreshClaims:
        """What a token says; raises ``SessionEnded`` or ``TokenInvalid``."""
        try:
            claims = self._read(REFRESH, token, "jti", even_expired=even_expired)
            return RefreshClaims(UUID(claims["sid"]), bytes.fromhex(claims["jti"]))
        except jwt.ExpiredSignatureError:
            raise SessionEnded from None
        except (jwt.InvalidTokenError, ValueError):
            raise TokenInvalid from None

    def successor(self, secret: bytes) -> bytes:
        """The secret that follows; only who has the key can tell."""
        return hmac.digest(self._successor_key, secret, "sha256")

    def _sign(self, use: str, claims: dict[str, Any]) -> str:
        return jwt.encode({"iss": ISSUER, "aud": use, **claims}, self._keys[use], ALGORITHM)

    def _read(self, use: str, token: str, *required: str, even_expired: bool) -> dict[str, Any]:
        if len(token) > MAX_LENGTH:
            raise TokenInvalid
        claims: dict[str, Any] = jwt.decode(
            token,
            self._keys[use],
            algorithms=[ALGORITHM],
            audience=use,
            issuer=ISSUER,
            leeway=LEEWAY,
            options={"require": ["iss", "aud", "exp", "sid", *required], "verify_exp": not even_expired},
        )
        if not all(isinstance(claims[name], str) for name in ("sid", *required)):
            raise TokenInvalid
        return claims


def new_secret() -> bytes:
    """The secret of a session's first refresh token."""
    return secrets.token_bytes(32)


def digest(secret: bytes) -> bytes:
    """What is stored of a secret. It is random, so it needs no slow hash."""
    return hashlib.sha256(secret).digest()


def derive(signing_key: str, use: str) -> bytes:
    """The key for one use: what is signed for one is good for no other."""
    return hmac.digest(signing_key.encode(), use.encode(), "sha256")
