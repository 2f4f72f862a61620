"""The providers of one process, by its settings: whose tokens it takes, and where the sign-in page sends people."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from yeoul.core.auth.errors import IssuerNotTrusted, ProviderNotFound
from yeoul.core.auth.outside.issuer import Issuer, Outsider, unverified_issuer
from yeoul.core.auth.outside.ticket import Tickets
from yeoul.settings import Settings

if TYPE_CHECKING:
    from yeoul.core.auth.outside.flow import Flow


log = structlog.get_logger(__name__)


class Providers:
    """Made once for an application: it keeps what it fetched from providers."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.tickets = Tickets(settings.signing_key)
        self.flows = _flows(settings, clock)
        self._issuers = {
            trusted.issuer: Issuer(
                trusted.issuer,
                trusted.audience,
                secret=None if trusted.secret is None else trusted.secret.get_secret_value(),
                jwks_url=trusted.jwks_url,
                algorithms=trusted.algorithms,
                email_verified=trusted.email_verified,
                clock=clock,
            )
            for trusted in settings.all_trusted_issuers
        }

    async def outsider(self, token: str) -> Outsider:
        """Whom an outside token names, once it is verified.

        Raises ``IssuerNotTrusted``, ``OutsideTokenExpired``, ``OutsideTokenInvalid`` or ``ProviderUnavailable``.
        Nothing is fetched but what the settings name.
        """
        named = unverified_issuer(token) or ""
        issuer = self._issuers.get(named)
        if issuer is None:
            # For the operator who has mistyped it. ``repr``: it is a stranger's text.
            log.warning("a token of an issuer that is not trusted", issuer=repr(named[:200]))
            raise IssuerNotTrusted
        return issuer.outsider(await issuer.claims(token))

    def flow(self, name: str) -> "Flow":
        """The way to the provider of this name; raises ``ProviderNotFound``."""
        try:
            return self.flows[name]
        except KeyError:
            raise ProviderNotFound from None


def _flows(settings: Settings, clock: Callable[[], float]) -> dict[str, "Flow"]:
    if not settings.all_oidc_providers:
        return {}
    from yeoul.core.auth.outside.flow import Flow  # noqa: PLC0415  (authlib: 0.15 s that others need not wait)

    return {provider.name: Flow(provider, clock) for provider in settings.all_oidc_providers}
