"""The rules of accounts and sessions.

No transaction is open while a password is hashed: each method opens short ones around it, as the service role, since
before sign-in there is no user to bind to.
"""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth import errors, passwords, repository, throttle, tokens
from yeoul.core.auth.principal import Principal, Role
from yeoul.core.auth.schemas import Credentials, Registration, SignedIn, UserOut
from yeoul.core.auth.tables import AuthSession, User
from yeoul.core.base.errors import YeoulError
from yeoul.core.base.ids import new_id
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


class Accounts:
    """Registration, sign-in, refresh, sign-out."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens.Tokens(settings.signing_key, settings.access_token_seconds)

    async def register(self, registration: Registration, client: Client) -> SignedIn:
        """Makes an account and signs it in; raises ``RegistrationClosed``, ``RateLimited`` or ``EmailTaken``."""
        if self._settings.registration == "closed":
            raise errors.RegistrationClosed
        subject = "register:" + throttle.address_subject(client.address)
        quota = self._settings.registrations_per_address
        async with self._db.as_service("auth: may this address register") as session:
            await throttle.require_registrations(session, subject, quota)
        password_hash = await passwords.hash_password(registration.password.get_secret_value())
        async with self._db.as_service("auth: register") as session:
            first = self._settings.first_user_is_admin and await repository.is_first_user(session)
            role: Role = "admin" if first else "user"
            user = await repository.add_user(session, registration.email, registration.name, password_hash, role)
            if user is None:
                raise errors.EmailTaken
            await repository.add_attempt(session, [subject], throttle.WINDOW)
            signed_in = await self._open_session(session, user, client)
        log.info("registered", user_id=str(user.id), role=role, address=client.address)
        return signed_in

    async def login(self, credentials: Credentials, client: Client) -> SignedIn:
        """Signs in; raises ``WrongCredentials``, ``AccountDisabled`` or ``RateLimited``."""
        subjects = throttle.account_subject(credentials.email), throttle.address_subject(client.address)
        quota = self._settings.login_attempts
        async with self._db.as_service("auth: look up who signs in") as session:
            await throttle.require_quota(session, subjects, quota)
            known = await repository.user_by_email(session, credentials.email)

        password = credentials.password.get_secret_value()
        stored = known.password_hash if known else None
        right = await passwords.verify_password(stored, password)
        outdated = right and stored is not None and passwords.is_outdated(stored)
        new_hash = await passwords.hash_password(password) if outdated else None

        async with self._db.as_service("auth: sign in") as session:
            # Asked again, one at a time: of many guesses made at once, no more than the quota get an answer.
            await repository.lock_subjects(session, subjects)
            await throttle.require_quota(session, subjects, quota)
            user = await repository.user_by_email(session, credentials.email)
            if not right or user is None or user.password_hash != stored:
                await repository.add_attempt(session, subjects, throttle.WINDOW)
                outcome: SignedIn | YeoulError = errors.WrongCredentials()  # raised below: the count must be committed
            elif user.disabled_at is not None:
                outcome = errors.AccountDisabled()
            else:
                # The address keeps its count: else a guesser would clear it by signing in to an account of their own.
                await repository.forget_failures(session, subjects[0])
                await repository.forget_old_sessions(session, user.id)
                if new_hash is not None:
                    await repository.replace_hash(session, user, new_hash)
                outcome = await self._open_session(session, user, client)
        if isinstance(outcome, YeoulError):
            log.warning("sign-in refused", code=outcome.code, account=subjects[0], address=client.address)
            raise outcome
        return outcome

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
        sessions = set()
        for token in access_tokens:
            with suppress(errors.TokenInvalid):
                sessions.add(self._tokens.read_access(token, even_expired=True).session_id)
        for token in refresh_tokens:
            with suppress(errors.TokenInvalid):
                sessions.add(self._tokens.read_refresh(token, even_expired=True).session_id)
        if not sessions:
            raise errors.TokenInvalid
        async with self._db.as_service("auth: sign out") as session:
            await repository.revoke_sessions(session, list(sessions))

    async def me(self, principal: Principal) -> UserOut:
        """The principal's account; raises ``SessionEnded`` when it no longer exists."""
        async with self._db.as_user(principal.user_id, role=principal.role) as session:
            row = await repository.own_user(session, principal.user_id)
        if row is None:
            raise errors.SessionEnded
        return UserOut.model_validate(row)

    async def _open_session(self, session: AsyncSession, user: User, client: Client) -> SignedIn:
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
