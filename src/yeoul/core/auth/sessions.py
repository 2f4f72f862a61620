"""Sessions: one for each sign-in, renewed by refresh tokens, listed and ended by their owner.

Two tabs, or two machines of a proxy, may refresh with the same token at once: the row is locked for one at a time, and
within ``GRACE`` whoever comes second gets the successor the first one got, so that neither is signed out.
"""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth import errors, repository, tokens
from yeoul.core.auth.principal import Principal, Role
from yeoul.core.auth.schemas import SessionOut, SignedIn, UserOut
from yeoul.core.auth.tables import AuthSession, User
from yeoul.core.base.ids import new_id
from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.core.db.database import Database
from yeoul.settings import Settings

GRACE = timedelta(seconds=10)
"""How long the refresh token just used may be used again: two tabs, or an answer that got lost."""

USER_AGENT_LENGTH = 300

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a sign-in comes from."""

    address: str
    user_agent: str | None = None


class Sessions:
    """Opens, renews, lists and ends sessions."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens.Tokens(settings.signing_key, settings.access_token_seconds)

    async def open(self, session: AsyncSession, user: User, client: Client) -> SignedIn:
        """A new session of a user who has just shown who they are, in the caller's service transaction."""
        secret = tokens.new_secret()
        opened = AuthSession(
            id=new_id(),
            user_id=user.id,
            refresh_hash=tokens.digest(secret),
            expires_at=await repository.clock(session) + timedelta(days=self._settings.refresh_token_days),
            user_agent=client.user_agent and client.user_agent.replace("\0", "")[:USER_AGENT_LENGTH],
        )
        await repository.add_session(session, opened)
        return self._grant(user, opened, secret)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """The next pair of tokens; raises ``SessionEnded`` or ``TokenInvalid``.

        A token that was used before ends its whole session: either its owner or a thief has just used a copy.
        Within ``GRACE`` of its use the same successor is given again instead.
        """
        claims = self._tokens.read_refresh(refresh_token)
        async with self._db.as_service("auth: refresh") as session:
            found = await repository.session_for_update(session, claims.session_id)
            signed_in = await self._rotate(session, *found, claims.secret) if found else None
        if signed_in is None:
            raise errors.SessionEnded
        return signed_in

    async def logout(self, *, access_tokens: Sequence[str] = (), refresh_tokens: Sequence[str] = ()) -> None:
        """Ends the sessions of these tokens, expired ones included; raises ``TokenInvalid`` when none is ours."""
        sessions = self._named_by(access_tokens, refresh_tokens)
        async with self._db.as_service("auth: sign out") as session:
            await repository.revoke_sessions(session, sessions)

    async def logout_everywhere(self, *, access_tokens: Sequence[str] = (), refresh_tokens: Sequence[str] = ()) -> None:
        """Ends every session of the user; raises ``TokenInvalid``, or ``SessionEnded`` where these tokens' own is over.

        Only from an open session: a token that leaked long ago must not sign its owner out again and again.
        """
        sessions = self._named_by(access_tokens, refresh_tokens)
        async with self._db.as_service("auth: sign out everywhere") as session:
            users = await repository.users_of_open_sessions(session, sessions)
            for user_id in users:
                await repository.revoke_all_sessions(session, user_id)
        if not users:
            raise errors.SessionEnded
        log.info("signed out everywhere", user_ids=[str(user_id) for user_id in users])

    async def listing(self, principal: Principal, cursor: str | None, limit: int) -> Page[SessionOut]:
        """The principal's open sessions, newest first."""
        async with self._db.as_user(principal.user_id, role=principal.role) as session:
            rows = await repository.open_sessions(session, principal.user_id, decode_cursor(cursor), limit + 1)
        shown = [
            SessionOut(
                id=row.id,
                user_agent=row.user_agent,
                created_at=row.created_at,
                last_used_at=row.rotated_at or row.created_at,
                expires_at=row.expires_at,
                current=row.id == principal.session_id,
            )
            for row in rows
        ]
        return page(shown, limit, [row.id for row in rows])

    async def end(self, principal: Principal, session_id: UUID) -> None:
        """Ends one of the principal's open sessions; raises ``SessionNotFound``."""
        async with self._db.as_service("auth: end a session") as session:
            ended = await repository.revoke_sessions(session, [session_id], user_id=principal.user_id)
        if not ended:
            raise errors.SessionNotFound

    def _named_by(self, access_tokens: Sequence[str], refresh_tokens: Sequence[str]) -> list[UUID]:
        sessions = set()
        for token in access_tokens:
            with suppress(errors.TokenInvalid):
                sessions.add(self._tokens.read_access(token, even_expired=True).session_id)
        for token in refresh_tokens:
            with suppress(errors.TokenInvalid):
                sessions.add(self._tokens.read_refresh(token, even_expired=True).session_id)
        if not sessions:
            raise errors.TokenInvalid
        return list(sessions)

    async def _rotate(self, session: AsyncSession, row: AuthSession, user: User, secret: bytes) -> SignedIn | None:
        now = await repository.clock(session)
        if row.revoked_at is not None or row.expires_at <= now or user.disabled_at is not None:
            return None
        presented, successor = tokens.digest(secret), self._tokens.successor(secret)
        if hmac.compare_digest(presented, row.refresh_hash):
            row.previous_hash, row.refresh_hash = presented, tokens.digest(successor)
            row.rotated_at = now
            row.expires_at = now + timedelta(days=self._settings.refresh_token_days)
        elif presented != row.previous_hash or row.rotated_at is None or now - row.rotated_at > GRACE:
            log.warning("a used refresh token came back, session ended", user_id=str(user.id), session_id=str(row.id))
            row.revoked_at = now
            return None
        return self._grant(user, row, successor)

    def _grant(self, user: User, session: AuthSession, secret: bytes) -> SignedIn:
        return SignedIn(
            user=UserOut.model_validate(user),
            access_token=self._tokens.access(user.id, cast("Role", user.role), session.id),
            expires_in=self._settings.access_token_seconds,
            refresh_token=self._tokens.refresh(session.id, secret, session.expires_at),
        )
