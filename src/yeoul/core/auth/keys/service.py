"""The rules of API keys: what makes, lists and revokes them."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from yeoul.core.auth import errors
from yeoul.core.auth import repository as accounts
from yeoul.core.auth.keys import repository
from yeoul.core.auth.keys.schemas import KeyMade, KeyOut, KeyRequest
from yeoul.core.auth.keys.text import new_key, read_key
from yeoul.core.auth.principal import Principal
from yeoul.core.auth.tables import ApiKey
from yeoul.core.base.ids import new_id
from yeoul.core.base.pagination import Page
from yeoul.core.db.database import Database

MAX_KEYS: Final = 20
"""How many keys one user may have."""

KEEP_EXPIRED = timedelta(days=30)
"""How long an expired key stays in its owner's list, who may wonder why a program has stopped."""

log = structlog.get_logger(__name__)


class ApiKeys:
    """One user's keys for their programs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def make(self, principal: Principal, request: KeyRequest) -> KeyMade:
        """A new key, told this once; raises ``TooManyKeys``."""
        key = new_key()
        text = read_key(key)
        assert text is not None  # noqa: S101  (we have just written it)
        row = ApiKey(
            id=new_id(),
            user_id=principal.user_id,
            name=request.name,
            prefix=text.prefix,
            secret_hash=text.secret_hash,
            scopes=list[str](request.scopes),
            expires_at=request.expires_at,
        )
        async with self._db.as_service("auth: make an API key") as session:
            await accounts.lock_subjects(session, [f"keys:{principal.user_id}"])
            await repository.forget_expired(session, principal.user_id, KEEP_EXPIRED)
            if await repository.count(session, principal.user_id) >= MAX_KEYS:
                raise errors.TooManyKeys(MAX_KEYS)
            await repository.add(session, row)
            made = KeyMade(**KeyOut.model_validate(row).model_dump(), key=key)
        log.info("API key made", user_id=str(principal.user_id), key_id=str(row.id), scopes=row.scopes)
        return made

    async def listing(self, principal: Principal) -> Page[KeyOut]:
        """The principal's keys, the newest first: all on one page."""
        async with self._db.as_user(principal.user_id, role=principal.role) as session:
            rows = await repository.own_keys(session, principal.user_id)
        return Page(items=[KeyOut.model_validate(row) for row in rows])

    async def revoke(self, principal: Principal, key_id: UUID) -> None:
        """Ends a key at once; raises ``KeyNotFound``."""
        async with self._db.as_service("auth: revoke an API key") as session:
            found = await repository.remove(session, principal.user_id, key_id)
        if not found:
            raise errors.KeyNotFound
        log.info("API key revoked", user_id=str(principal.user_id), key_id=str(key_id))
