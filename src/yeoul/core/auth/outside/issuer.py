"""One issuer's tokens: whose they are, if they hold.

The settings say how tokens are signed; a token only chooses among the issuer's own keys, by their ids. So a token
signed with a public key as if it were a secret (HS256), not signed at all (``none``), or with a key that it brings
along (``jwk``, ``jku``, ``x5u``) finds no verifier.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import jwt

from yeoul.core.auth.errors import OutsideTokenExpired, OutsideTokenInvalid, ProviderUnavailable
from yeoul.core.auth.outside.fetch import document, is_safe
from yeoul.core.auth.outside.kept import Kept
from yeoul.core.auth.schemas import normalise_email, plain_name
from yeoul.setting_types import EmailTrust

DEFAULT_ALGORITHMS: Final = ("RS256", "ES256")
LEEWAY = timedelta(seconds=10)
MAX_TOKEN_LENGTH = 16_384
MAX_SUBJECT_LENGTH = 255
MAX_KEYS = 100
MAX_NAME_LENGTH = 200

_TYPES = ("jwt", "at+jwt", "application/at+jwt")
"""What a token that signs in may call itself; a logout token, say, is signed with the same keys."""

_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

_jwt = jwt.PyJWT({"enforce_minimum_key_length": True})

Claims = Mapping[str, Any]
Jwks = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Outsider:
    """Whom a provider's token names. The email is normalised, the name plain text for show."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None


class Issuer:
    """Reads the tokens of one issuer that are meant for us."""

    def __init__(
        self,
        issuer: str,
        audience: tuple[str, ...],
        *,
        secret: str | None = None,
        jwks_url: str | None = None,
        algorithms: tuple[str, ...] = (),
        email_verified: EmailTrust = "claim",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self._secret = secret
        self._jwks_url = jwks_url
        self._algorithms = ("HS256",) if secret is not None else algorithms or DEFAULT_ALGORITHMS
        self._email_verified = email_verified
        self._metadata = Kept(self._fetch_metadata, clock)
        self._jwks = Kept(self._fetch_jwks, clock)

    async def metadata(self) -> dict[str, Any]:
        """The issuer's discovery document; raises ``ProviderUnavailable``."""
        return await self._metadata.get()

    async def claims(self, token: str) -> Claims:
        """What a token says, once it is verified.

        Raises ``OutsideTokenExpired``, ``OutsideTokenInvalid`` or ``ProviderUnavailable``.
        """
        header = unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise OutsideTokenInvalid("it is not signed in the way this server expects of its issuer")
        if str(header.get("typ", "jwt")).lower() not in _TYPES:
            raise OutsideTokenInvalid("it is no access or ID token")
        key = self._secret if self._secret is not None else await self._key(algorithm, header.get("kid"))
        try:
            claims: dict[str, Any] = _jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise OutsideTokenExpired from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise OutsideTokenInvalid(_words(error)) from None
        subject = claims["sub"]
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
            raise OutsideTokenInvalid("its subject is not acceptable")
        if "events" in claims:
            raise OutsideTokenInvalid("it tells of an event, such as a sign-out, and signs nobody in")
        return claims

    def outsider(self, claims: Claims, *, info: Claims | None = None) -> Outsider:
        """Whom verified claims name; ``info`` is where the email is looked for when the token has none."""
        told = claims if info is None or claims.get("email") else info
        email = _email(told.get("email"))
        claimed = told.get("email_verified")
        said = claimed is True or claimed == "true"  # some send a string
        verified = email is not None and (said if self._email_verified == "claim" else self._email_verified == "always")
        names = (claims, info or {}, _mapping(claims.get("user_metadata")))
        name = next(
            (name for source in names for key in ("name", "full_name") if (name := _name(source.get(key)))), None
        )
        return Outsider(self.issuer, claims["sub"], email, verified, name)

    async def _key(self, algorithm: str, key_id: str | None) -> jwt.PyJWK:
        jwks = await self._jwks.get()
        found = _select(jwks, algorithm, key_id)
        if found is None:  # the issuer may have a new key
            found = _select(await self._jwks.get(but=jwks), algorithm, key_id)
        if found is None:
            raise OutsideTokenInvalid("it is signed with a key that its issuer does not show")
        return found

    async def _fetch_metadata(self) -> dict[str, Any]:
        found = await document(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise ProviderUnavailable
        return found

    async def _fetch_jwks(self) -> Jwks:
        url = self._jwks_url or (await self.metadata()).get("jwks_uri")
        if not isinstance(url, str) or not is_safe(url, self._jwks_url or self.issuer):
            raise ProviderUnavailable
        keys = (await document(url)).get("keys")
        if not isinstance(keys, list):
            raise ProviderUnavailable
        return tuple(key for key in keys[:MAX_KEYS] if isinstance(key, dict))


def unverified_header(token: str) -> Mapping[str, Any]:
    """A token's header, believed for nothing but to find the key; raises ``OutsideTokenInvalid``."""
    try:
        _require_length(token)
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise OutsideTokenInvalid("it is no JWT") from None


def unverified_issuer(token: str) -> str | None:
    """Whose token it claims to be, believed for nothing but to find the issuer; raises ``OutsideTokenInvalid``."""
    try:
        _require_length(token)
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise OutsideTokenInvalid("it is no JWT") from None
    return issuer if isinstance(issuer, str) else None


def _require_length(token: str) -> None:
    if len(token) > MAX_TOKEN_LENGTH:
        raise OutsideTokenInvalid(f"it has over {MAX_TOKEN_LENGTH:,} characters")


def _select(jwks: Jwks, algorithm: str, key_id: str | None) -> jwt.PyJWK | None:
    """The one key a token may be signed with; null when it names none of these, or could mean several."""
    fitting = [key for key in jwks if _fits(key, algorithm) and (key_id is None or key.get("kid") == key_id)]
    if len(fitting) != 1:
        return None
    try:
        return jwt.PyJWK(dict(fitting[0]), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    operations = key.get("key_ops")
    return (
        key.get("kty") == _KEY_TYPES[algorithm[:2]]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _words(error: Exception) -> str:
    match error:
        case jwt.InvalidAudienceError():
            return "it is meant for somebody else (aud)"
        case jwt.InvalidIssuerError():
            return "it is of another issuer (iss)"
        case jwt.ImmatureSignatureError():
            return "it is not valid yet (nbf, iat)"
        case jwt.MissingRequiredClaimError():
            return f"it lacks the claim {error.claim}"
        case jwt.InvalidSignatureError():
            return "its signature does not hold"
        case _:
            return "it is not well-formed"


def _email(told: object) -> str | None:
    if not isinstance(told, str) or len(told) > 320:  # noqa: PLR2004  (the longest address there is)
        return None
    try:
        return normalise_email(told)
    except ValueError:
        return None


def _name(told: object) -> str | None:
    if not isinstance(told, str):
        return None
    try:
        return plain_name(told[:MAX_NAME_LENGTH])
    except ValueError:
        return None


def _mapping(told: object) -> Mapping[str, Any]:
    return told if isinstance(told, dict) else {}
