"""The rules of who may sign in from outside, and to which account.

The issuer and the subject name a person; the email is only for the first time:

- known identity → its account, whatever the email is by now;
- email of no account → a new account, where registration is open;
- email of an account → linked only if nobody can be robbed by it: the provider says that the email is verified, and the
  account is not in the hands of somebody who never showed to own it. That is so where an identity linked before had the
  same email verified, or where nobody can sign in to the account yet (an operator made it without a password).
  Passwords here prove no email: who registered with somebody else's would otherwise be joined by them, and see what
  they do. A second subject of one issuer is not linked either: there the address has changed hands.
- everybody else is told to sign in as before and to link there, which needs both.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth import errors, throttle
from yeoul.core.auth import repository as accounts
from yeoul.core.auth.outside import repository
from yeoul.core.auth.outside.issuer import Outsider
from yeoul.core.auth.outside.providers import Providers
from yeoul.core.auth.outside.schemas import IdentityOut
from yeoul.core.auth.principal import Principal, Role
from yeoul.core.auth.schemas import SignedIn
from yeoul.core.auth.sessions import Client, Sessions
from yeoul.core.auth.tables import OutsideIdentity, User
from yeoul.core.db.database import Database
from yeoul.settings import Settings

log = structlog.get_logger(__name__)


class Outside:
    """Sign-in with an outside provider, and the identities linked to an account."""

    def __init__(self, db: Database, settings: Settings, providers: Providers) -> None:
        self._db = db
        self._settings = settings
        self._providers = providers
        self._sessions = Sessions(db, settings)

    @asynccontextmanager
    async def attempt(self, client: Client) -> AsyncGenerator[None]:
        """Where somebody tries to prove who they are; raises ``RateLimited`` when too much has failed from there.

        What does not hold is counted by address, apart from wrong passwords: neither locks out the other.
        """
        subject = "outside:" + throttle.address_subject(client.address)
        async with self._db.as_service("auth: may this address try") as session:
            await throttle.require_quota(session, [subject], self._settings.login_attempts)
        try:
            yield
        except (errors.OutsideTokenInvalid, errors.IssuerNotTrusted, errors.SignInFailed) as error:
            async with self._db.as_service("auth: count a failed sign-in") as session:
                await accounts.add_attempt(session, [subject], throttle.WINDOW)
            log.warning("sign-in from outside refused", reason=error.detail, address=client.address)
            raise

    async def verified(self, token: str, client: Client) -> Outsider:
        """Whom a provider's token names; raises what ``Providers.outsider`` does, or ``RateLimited``."""
        async with self.attempt(client):
            return await self._providers.outsider(token)

    async def sign_in(self, outsider: Outsider, client: Client) -> SignedIn:
        """Signs somebody in, with a new account where they have none.

        Raises ``AccountDisabled``, ``EmailRequired``, ``NotLinked``, ``RegistrationClosed`` or ``RateLimited``.
        """
        async with self._db.as_service("auth: sign in from outside") as session:
            found = await self._find(session, outsider)
            if found is not None:
                identity, user = found
            else:
                user = await self._account_for(session, outsider, client)
                identity = await repository.add(session, user.id, outsider)
                log.info("identity linked", user_id=str(user.id), issuer=outsider.issuer)
            if user.disabled_at is not None:
                raise errors.AccountDisabled
            await repository.touch(session, identity)
            await accounts.forget_old_sessions(session, user.id)
            return await self._sessions.open(session, user, client)

    async def link(self, session_id: UUID | None, outsider: Outsider) -> IdentityOut:
        """Adds a way to sign in to the account of an open session; raises ``IdentityTaken`` or ``SessionEnded``."""
        if session_id is None:
            raise errors.SessionEnded
        async with self._db.as_service("auth: link an identity") as session:
            user = await repository.user_of_open_session(session, session_id)
            if user is None:
                raise errors.SessionEnded
            found = await self._find(session, outsider)
            if found is not None and found[1].id != user.id:
                raise errors.IdentityTaken
            identity = found[0] if found else await repository.add(session, user.id, outsider)
            linked = IdentityOut.model_validate(identity)
        log.info("identity linked", user_id=str(user.id), issuer=outsider.issuer)
        return linked

    async def listing(self, principal: Principal) -> list[IdentityOut]:
        """The principal's identities, the oldest first."""
        async with self._db.as_user(principal.user_id, role=principal.role) as session:
            return [IdentityOut.model_validate(row) for row in await repository.of_user(session, principal.user_id)]

    async def unlink(self, principal: Principal, identity_id: UUID) -> None:
        """Removes a way to sign in; raises ``IdentityNotFound`` or ``LastWayIn``."""
        async with self._db.as_service("auth: unlink an identity") as session:
            user = await repository.user_for_update(session, principal.user_id)
            identities = await repository.of_user(session, principal.user_id)
            if user is None or identity_id not in {identity.id for identity in identities}:
                raise errors.IdentityNotFound
            if len(identities) == 1 and user.password_hash is None:
                raise errors.LastWayIn
            await repository.remove(session, identity_id)
        log.info("identity unlinked", user_id=str(principal.user_id), identity_id=str(identity_id))

    @staticmethod
    async def _find(session: AsyncSession, outsider: Outsider) -> tuple[OutsideIdentity, User] | None:
        # One at a time for each identity: two tabs that bring the same new one must not make two accounts.
        await accounts.lock_subjects(session, [f"identity:{outsider.issuer}\n{outsider.subject}"])
        return await repository.by_subject(session, outsider.issuer, outsider.subject)

    async def _account_for(self, session: AsyncSession, outsider: Outsider, client: Client) -> User:
        """The account a new identity belongs to."""
        if outsider.email is None:
            raise errors.EmailRequired
        if outsider.email == accounts.LOCAL_EMAIL:
            raise errors.NotLinked
        user = await accounts.user_by_email(session, outsider.email)
        if user is None:
            user = await self._new_account(session, outsider.email, outsider.name, client)
            if user is not None:
                return user
            user = await accounts.user_by_email(session, outsider.email)  # somebody else has just made it
        if user is None or not await self._may_link(session, user, outsider):
            raise errors.NotLinked
        return user

    async def _new_account(self, session: AsyncSession, email: str, name: str | None, client: Client) -> User | None:
        if self._settings.registration == "closed":
            raise errors.RegistrationClosed
        subject = "register:" + throttle.address_subject(client.address)
        await throttle.require_registrations(session, subject, self._settings.registrations_per_address)
        first = self._settings.first_user_is_admin and await accounts.is_first_user(session)
        role: Role = "admin" if first else "user"
        user = await accounts.add_user(session, email, name, None, role)
        if user is not None:
            await accounts.add_attempt(session, [subject], throttle.WINDOW)
            log.info("registered from outside", user_id=str(user.id), role=role, address=client.address)
        return user

    @staticmethod
    async def _may_link(session: AsyncSession, user: User, outsider: Outsider) -> bool:
        if not outsider.email_verified:
            return False
        identities = await repository.of_user(session, user.id)
        if any(identity.issuer == outsider.issuer for identity in identities):
            return False
        proven = any(identity.email_verified and identity.email == user.email for identity in identities)
        nobodys = not identities and user.password_hash is None
        return proven or nobodys
