"""Password hashes: argon2id, in two threads of their own so that a rush of sign-ins takes neither loop nor machine."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""OWASP's first recommendation: 19 MiB, 2 passes; about 20 ms."""

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")

_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$xtcvhxGnDmNN0Ul6rFTteQ$4g1hL/SRG2Sh9moNf0WgKP1mm/b4lsiblTfu8VMyDGo"
"""What an unknown user's password is verified against, so that it takes as long as a known one's."""


async def hash_password(password: str) -> str:
    """The hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password has this hash. Without a hash: false, after the same work."""
    matches = await asyncio.get_running_loop().run_in_executor(_threads, _verify, stored or _NOBODYS, password)
    return matches and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
