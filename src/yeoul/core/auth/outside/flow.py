"""Sign-in at a provider of OpenID Connect: authorization code with PKCE, ``state`` and ``nonce``.

authlib writes the requests and checks the ID token's claims of this flow (``nonce``, ``azp``, ``at_hash``); the token
itself is verified as any other (``issuer.py``), and the wire is ``fetch.py``'s, with its limits.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import structlog
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from yeoul.core.auth.errors import (
    OutsideTokenExpired,
    OutsideTokenInvalid,
    ProviderUnavailable,
    SignInDenied,
    SignInFailed,
)
from yeoul.core.auth.outside.fetch import fetch, is_safe
from yeoul.core.auth.outside.issuer import LEEWAY, Claims, Issuer, Outsider, unverified_header
from yeoul.core.auth.outside.schemas import Returned
from yeoul.core.auth.outside.ticket import Ticket
from yeoul.setting_types import OidcProvider

_OK = 200

log = structlog.get_logger(__name__)


class Flow:
    """The way to one provider and back."""

    def __init__(self, provider: OidcProvider, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = provider.name
        self.label = provider.label or provider.name
        self._provider = provider
        self._issuer = Issuer(
            provider.issuer,
            (provider.client_id,),
            algorithms=provider.algorithms,
            email_verified=provider.email_verified,
            clock=clock,
        )

    async def start(self, ticket: Ticket, redirect_uri: str) -> str:
        """Where to send the browser; raises ``ProviderUnavailable``."""
        address: str = prepare_grant_uri(
            await self._endpoint("authorization_endpoint"),
            self._provider.client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=self._provider.scopes,
            state=ticket.state,
            nonce=ticket.nonce,
            code_challenge=create_s256_code_challenge(ticket.verifier),  # type: ignore[no-untyped-call]  # stubs lack it
            code_challenge_method="S256",
        )
        return address

    async def finish(self, ticket: Ticket, returned: Returned, redirect_uri: str) -> Outsider:
        """Who has come back; raises ``SignInDenied``, ``SignInFailed`` or ``ProviderUnavailable``."""
        metadata = await self._issuer.metadata()
        # Where providers are mixed up, a code of one would be sent to another (RFC 9207).
        if returned.iss is None and metadata.get("authorization_response_iss_parameter_supported") is True:
            raise SignInFailed("it does not say who it is from")
        if returned.iss not in {None, self._issuer.issuer}:
            raise SignInFailed("it is from another provider")
        if returned.error is not None:
            log.info("a provider says no", provider=self.name, error=repr(returned.error[:100]))
            raise SignInDenied
        if not returned.code:
            raise SignInFailed("it has no code")
        tokens = await self._exchange(returned.code, ticket, redirect_uri)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise SignInFailed("it lacks a token")
        claims = await self._claims(id_token, access_token, ticket)
        info = None if claims.get("email") else await self._user_info(access_token, claims["sub"])
        return self._issuer.outsider(claims, info=info)

    async def _exchange(self, code: str, ticket: Ticket, redirect_uri: str) -> dict[str, Any]:
        """The tokens for a code."""
        endpoint = await self._endpoint("token_endpoint")
        body = prepare_token_request(
            "authorization_code", redirect_uri=redirect_uri, code=code, code_verifier=ticket.verifier
        )
        sent: dict[str, str] = {"Content-Type": "application/x-www-form-urlencoded"}
        _, headers, body = (await self._client_auth()).prepare("POST", endpoint, sent, body)  # type: ignore[no-untyped-call]  # same
        status, answer = await fetch("POST", endpoint, headers=headers, body=body)
        if status != _OK:
            # Said in full to the operator alone: it may well be a wrong client secret.
            log.warning(
                "a provider refuses a code", provider=self.name, status=status, error=repr(answer.get("error"))[:100]
            )
            raise SignInFailed("it refuses the code") if status < 500 else ProviderUnavailable  # noqa: PLR2004
        return answer

    async def _claims(self, id_token: str, access_token: str, ticket: Ticket) -> Claims:
        try:
            claims = await self._issuer.claims(id_token)
            CodeIDToken(
                dict(claims),
                dict(unverified_header(id_token)),  # verified by now
                params={"nonce": ticket.nonce, "client_id": self._provider.client_id, "access_token": access_token},
            ).validate(leeway=int(LEEWAY.total_seconds()))
        except (OutsideTokenInvalid, OutsideTokenExpired) as error:
            raise SignInFailed(error.title) from error
        except JoseError as error:
            log.warning("an ID token does not fit its sign-in", provider=self.name, error=str(error))
            raise SignInFailed("its ID token does not fit this sign-in") from None
        return claims

    async def _user_info(self, access_token: str, subject: str) -> Claims | None:
        """What the provider tells apart from the token, if it does."""
        if not (await self._issuer.metadata()).get("userinfo_endpoint"):
            return None
        endpoint = await self._endpoint("userinfo_endpoint")
        status, info = await fetch("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        if status != _OK:
            return None
        if info.get("sub") != subject:
            raise SignInFailed("it tells of somebody else")
        return info

    async def _client_auth(self) -> ClientAuth:
        secret = self._provider.client_secret
        if secret is None:
            return ClientAuth(self._provider.client_id, None, "none")
        known = (await self._issuer.metadata()).get("token_endpoint_auth_methods_supported")
        if isinstance(known, list) and "client_secret_basic" not in known:
            return ClientAuth(self._provider.client_id, secret.get_secret_value(), "client_secret_post")
        # RFC 6749, 2.3.1: both are form-encoded first.
        client_id, client_secret = (quote(p, safe="") for p in (self._provider.client_id, secret.get_secret_value()))
        return ClientAuth(client_id, client_secret, "client_secret_basic")

    async def _endpoint(self, name: str) -> str:
        url: object = (await self._issuer.metadata()).get(name)
        if not isinstance(url, str) or not is_safe(url, self._issuer.issuer):
            log.warning("a provider's discovery document lacks an address to be trusted", provider=self.name, name=name)
            raise ProviderUnavailable
        return url
