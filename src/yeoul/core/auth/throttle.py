"""Against guessing and flooding: so many failed sign-ins and new accounts in 15 minutes, then no more answers."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth import repository
from yeoul.core.http.ratelimit import Policy, RateLimited

WINDOW = timedelta(minutes=15)


def account_subject(email: str) -> str:
    """How an account is counted, whether it exists or not. A hash: mistyped emails are nobody's to read."""
    return "email:" + hashlib.sha256(email.encode()).hexdigest()


def address_subject(address: str) -> str:
    """How an address is counted. One IPv6 customer has a /64 of them, so that counts as one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return f"ip:{address}"
    if isinstance(parsed, IPv6Address):
        parsed_v4 = parsed.ipv4_mapped
        return f"ip:{parsed_v4}" if parsed_v4 else f"ip:{ip_network((parsed, 64), strict=False)}"
    return f"ip:{parsed}"


async def require_registrations(session: AsyncSession, subject: str, quota: int) -> None:
    """Raises ``RateLimited`` when the address has made as many accounts as one may."""
    await _require(session, [subject], quota, "register", "Too many new accounts from this address.")


async def require_quota(session: AsyncSession, subjects: Sequence[str], quota: int) -> None:
    """Raises ``RateLimited`` when the account or the address has used up its failures."""
    words = "Too many failed sign-ins for this account or from this address."
    await _require(session, subjects, quota, "sign-in", words)


async def reserve_key_try(session: AsyncSession, owner: str, address: str, quota: int) -> Sequence[int]:
    """Counts a try of a provider's key before it is made; takes a service session.

    Returns what to ``repository.take_back`` when the provider did not refuse it. Raises ``RateLimited`` when the
    account or the address has had as many keys refused as one may.
    """
    subjects = [f"provider-key:{owner}", "provider-key:" + address_subject(address)]
    await repository.lock_subjects(session, subjects)  # of many tries made at once, no more than the quota are made
    words = "Providers refused too many keys from this account or address."
    await _require(session, subjects, quota, "provider-key", words)
    return await repository.add_attempt(session, subjects, WINDOW)


async def _require(session: AsyncSession, subjects: Sequence[str], quota: int, name: str, words: str) -> None:
    wait = await repository.seconds_until_allowed(session, subjects, quota, WINDOW)
    if wait > 0:
        raise RateLimited(
            f"{words} Try again in {max(round(wait / 60), 1)} min.",
            policy=Policy(name, quota, int(WINDOW.total_seconds())),
            retry_after=wait,
        )
