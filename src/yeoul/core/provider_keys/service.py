"""The rules of users' own keys: tried with one tiny call when they are given, kept in the vault, never shown again."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog

from yeoul.core.auth import repository as counts
from yeoul.core.auth import throttle
from yeoul.core.auth.principal import Principal
from yeoul.core.base.errors import YeoulError
from yeoul.core.llm.errors import (
    ModelAuthFailed,
    ModelError,
    ModelNotReady,
    ModelOverloaded,
    ModelQuotaExceeded,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    UnknownModel,
)
from yeoul.core.llm.providers.base import Provider
from yeoul.core.llm.providers.registry import PROVIDERS, with_own_keys
from yeoul.core.llm.schemas import CompletionRequest, Parameters
from yeoul.core.provider_keys.errors import OwnKeysOff, ProviderKeyRefused, ProviderKeyUnchecked, UnknownProvider
from yeoul.core.provider_keys.schemas import Offered, ProviderKey, ProviderKeys, Stored
from yeoul.core.runtime.services import Services
from yeoul.core.vault import repository

CHECK_SECONDS = 20.0
"""How long a provider may take to say whether a key is good."""
_CHECK_TOKENS = 64
_UNTOLD = (ModelUnavailable, ModelOverloaded, ModelTimeout, ModelRateLimited, UnknownModel)
"""What says nothing about the key."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Checked:
    """What a provider said to a key that it did not refuse. ``why`` it is not certain, where it is not."""

    why: str | None = None
    note: str | None = None


async def listing(services: Services, principal: Principal) -> ProviderKeys:
    """One's keys, and the providers to choose from."""
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        rows = await repository.own(session)
    return ProviderKeys(
        items=[_shown(*row) for row in rows],
        providers=[Offered(provider=one.name, title=_title(one.name)) for one in with_own_keys(services.settings)],
        policy=services.settings.user_keys,
    )


async def store(
    services: Services, principal: Principal, name: str, key: str, *, address: str, unchecked: bool
) -> Stored:
    """Tries a key and stores it, in place of a former one.

    Raises ``UnknownProvider``, ``OwnKeysOff``, ``ProviderKeyRefused`` with the provider's words, ``RateLimited`` after
    too many of these, and ``ProviderKeyUnchecked`` when the provider cannot say, unless ``unchecked`` will do.
    """
    provider = _provider(services, name)
    if services.settings.user_keys == "off":
        raise OwnKeysOff("This installation works with its own keys alone (YEOUL_USER_KEYS): yours would not be used.")
    checked = await _tried(services, principal, provider, key, address)
    if checked.why is not None and not unchecked:
        raise ProviderKeyUnchecked(
            f"{checked.why} So nobody knows whether the key is good, and it was not stored. Try again later, or store "
            "it unchecked (`?unchecked=true`)."
        )
    await services.keys.vault.store(principal.user_id, provider.name, key)
    log.info("provider key stored", provider=provider.name, checked=checked.why is None)
    async with services.database.as_user(principal.user_id, role=principal.role) as session:
        rows = await repository.own(session)
    shown = next(_shown(*row) for row in rows if row.name == provider.name)
    return Stored(**shown.model_dump(), checked=checked.why is None, note=checked.note)


async def remove(services: Services, principal: Principal, name: str) -> None:
    """Forgets a key; raises ``SecretNotFound``."""
    await services.keys.vault.remove(principal.user_id, name)
    log.info("provider key removed", provider=name)


async def _tried(services: Services, principal: Principal, provider: Provider, key: str, address: str) -> Checked:
    model = provider.check_model(services.settings)
    if model is None:
        return Checked(why=f"{provider.title} names no model to try a key with (YEOUL_COMPATIBLE_MODELS).")
    quota = services.settings.login_attempts
    async with services.database.as_service("provider keys: may another key be tried") as session:
        counted = await throttle.reserve_key_try(session, str(principal.user_id), address, quota)
    outcome: Checked | YeoulError
    try:
        outcome = await _asked(services, provider, model, key)
    except ModelAuthFailed as error:
        log.warning("provider key refused", provider=provider.name, address=address)
        raise _refusal(provider, error.said) from None
    async with services.database.as_service("provider keys: the key was not refused") as session:
        await counts.take_back(session, counted)
    return outcome


async def _asked(services: Services, provider: Provider, model: str, key: str) -> Checked:
    """One tiny call; raises ``ModelAuthFailed``, and ``ModelNotReady`` for what the installation lacks."""
    question = CompletionRequest.ask(
        "Say OK.", model=f"{provider.name}/{model}", parameters=Parameters(max_tokens=_CHECK_TOKENS)
    )
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await services.gateway.complete(question, key=key)
    except TimeoutError:
        return Checked(why=f"{provider.title} did not answer within {CHECK_SECONDS:g} seconds.")
    except (ModelAuthFailed, ModelNotReady):
        raise
    except _UNTOLD as error:
        return Checked(why=error.detail)
    except ModelQuotaExceeded as error:
        return Checked(note=error.detail)
    except ModelError:
        return Checked()  # it knew the key, and did not like the question
    return Checked()


def _refusal(provider: Provider, said: str | None) -> ProviderKeyRefused:
    words = f"{provider.title} refused this key, so it was not stored. Copy it anew, or make another one there."
    return ProviderKeyRefused(f"{words} It said: {said}" if said else words, said=said)


def _provider(services: Services, name: str) -> Provider:
    offered = {one.name: one for one in with_own_keys(services.settings)}
    if name not in offered:
        raise UnknownProvider(f"There is no provider `{name}` that takes keys of your own: {', '.join(offered)} do.")
    return offered[name]


def _shown(name: str, hint: str, created_at: datetime, last_used_at: datetime | None) -> ProviderKey:
    return ProviderKey(provider=name, title=_title(name), hint=hint, created_at=created_at, last_used_at=last_used_at)


def _title(name: str) -> str:
    return PROVIDERS[name].title if name in PROVIDERS else name
