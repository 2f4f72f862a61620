"""Keeping users' secrets: stored sealed, opened only for their owner's own work, sealed anew when the key changes."""

from uuid import UUID

from yeoul.core.db.database import Database
from yeoul.core.vault import repository
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.errors import SecretNotFound

HINT = 4
"""Characters shown of a secret, the last; of a short one, none."""
_LONG = 16
_PAGE = 200


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

    async def rotate(self) -> int:
        """Seals with the present key all that an older one sealed; returns how many. May be repeated at any time."""
        done, after = 0, None
        while True:
            async with self._database.as_service("vault: seal everything with the present key") as session:
                rows = await repository.page(session, after, _PAGE)
                for row in rows:
                    if not self._cipher.is_newest(row.sealed):
                        context = _context(row.owner_id, row.name)
                        row.sealed = self._cipher.seal(self._cipher.open(row.sealed, context), context)
                        done += 1
                if not rows:
                    return done
                after = rows[-1].owner_id, rows[-1].name


def _context(owner_id: UUID, name: str) -> str:
    return f"{owner_id}/{name}"
