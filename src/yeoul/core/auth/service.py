"""The rules of accounts.

No transaction is open while a password is hashed: each method opens short ones around it, as the service role, since
before sign-in there is no user to bind to.
"""

import structlog

from yeoul.core.auth import errors, passwords, repository, throttle
from yeoul.core.auth.principal import Principal, Role
from yeoul.core.auth.schemas import Credentials, Registration, SignedIn, UserOut
from yeoul.core.auth.sessions import Client, Sessions
from yeoul.core.base.errors import YeoulError
from yeoul.core.db.database import Database
from yeoul.settings import Settings

log = structlog.get_logger(__name__)


class Accounts:
    """Registration and sign-in by password."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._sessions = Sessions(db, settings)

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
            signed_in = await self._sessions.open(session, user, client)
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
                outcome = await self._sessions.open(session, user, client)
        if isinstance(outcome, YeoulError):
            log.warning("sign-in refused", code=outcome.code, account=subjects[0], address=client.address)
            raise outcome
        return outcome

    async def me(self, principal: Principal) -> UserOut:
        """The principal's account; raises ``SessionEnded`` when it no longer exists."""
        async with self._db.as_user(principal.user_id, role=principal.role) as session:
            row = await repository.own_user(session, principal.user_id)
        if row is None:
            raise errors.SessionEnded
        return UserOut.model_validate(row)
