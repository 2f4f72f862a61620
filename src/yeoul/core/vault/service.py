"""Keeping users' secrets: stored sealed, opened only for their owner's own work, sealed anew when the key changes."""

from dataclasses import dataclass
from uuid import UUID

from yeoul.core.db.database import Database
from yeoul.core.vault import repository
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.errors import SecretLost, SecretNotFound

HINT = 4
"""Characters shown of a secret, the last; of a short one, none."""
_LONG = 16
_PAGE = 200


@dataclass(frozen=True)
class Rotation:
    """Secrets that are sealed with the present key now, and such that no key opens."""

    done: int
    lost: int


@dataclass(frozen=True)
class Standing:
    """Secrets sealed with the present key, with an older one, and such that no key opens."""

    newest: int
    older: int
    lost: int


class Vault:
    """Users' secrets by name. One per process."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def store(self, owner_id: UUID, name: str, secret: str) -> str:
        """Stores or replaces a secret; returns its hint."""
        hint = secret[-HINT:] if len(secret) >= _LONG else ""
        async with self._database.as_service("vault: store what its owner gave") as session:
            await repository.store(session, owner_id, name, self._cipher.seal(secret, _context(owner_id, name)), hint)
        return hint

    async def open(self, owner_id: UUID, name: str) -> str | None:
        """A user's secret, null when there is none; raises ``SecretLost``."""
        async with self._database.as_service("vault: open a secret for its owner's own work") as session:
            sealed = await repository.sealed(session, owner_id, name)
        return None if sealed is None else self._cipher.open(sealed, _context(owner_id, name))

    async def remove(self, owner_id: UUID, name: str) -> None:
        """Forgets a secret; raises ``SecretNotFound``."""
        async with self._database.as_service("vault: forget what its owner gave") as session:
            if not await repository.remove(session, owner_id, name):
                raise SecretNotFound(f"You have stored no key for {name}.")

    async def rotate(self) -> Rotation:
        """Seals with the present key all that an older one sealed. May be repeated at any time.

        What no key opens any more stays as it is, and is counted.
        """
        done, lost, after = 0, 0, None
        while True:
            async with self._database.as_service("vault: seal everything with the present key") as session:
                rows = await repository.page(session, after, _PAGE)
                for row in rows:
                    if not self._cipher.is_newest(row.sealed):
                        context = _context(row.owner_id, row.name)
                        try:
                            row.sealed = self._cipher.seal(self._cipher.open(row.sealed, context), context)
                        except SecretLost:
                            lost += 1
                        else:
                            done += 1
                if not rows:
                    return Rotation(done, lost)
                after = rows[-1].owner_id, rows[-1].name

    async def stand(self) -> Standing:
        """How the stored secrets stand: none is changed."""
        newest, older, lost, after = 0, 0, 0, None
        while True:
            async with self._database.as_service("vault: can everything be opened") as session:
                rows = await repository.page(session, after, _PAGE, lock=False)
                for row in rows:
                    try:
                        self._cipher.open(row.sealed, _context(row.owner_id, row.name))
                    except SecretLost:
                        lost += 1
                    else:
                        newest += self._cipher.is_newest(row.sealed)
                        older += not self._cipher.is_newest(row.sealed)
                if not rows:
                    return Standing(newest, older, lost)
                after = rows[-1].owner_id, rows[-1].name


def _context(owner_id: UUID, name: str) -> str:
    return f"{owner_id}/{name}"
