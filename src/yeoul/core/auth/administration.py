"""What an operator does to accounts, from the command line: each function works in the caller's service transaction."""

from collections.abc import Sequence
from typing import Literal, cast

from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth import errors, passwords, repository, throttle
from yeoul.core.auth.principal import Role
from yeoul.core.auth.schemas import Registration, normalise_email
from yeoul.core.auth.tables import User
from yeoul.core.base.errors import InvalidInput


async def users(session: AsyncSession) -> Sequence[User]:
    """Everybody, the oldest first."""
    return await repository.users(session)


async def find(session: AsyncSession, email: str) -> User:
    """The user with this email, however it is spelled; raises ``UserNotFound``."""
    try:
        user = await repository.user_by_email(session, normalise_email(email))
    except ValueError:
        user = None
    if user is None:
        raise errors.UserNotFound(email)
    return user


async def operator(session: AsyncSession) -> User:
    """Whom the command line acts as when nobody is named: the first administrator, else a local user.

    The local user is made when first needed, is no administrator, and has no password: nobody signs in as it.
    """
    if administrators := await repository.active_administrators(session):
        return administrators[0]
    local = await repository.user_by_email(session, repository.LOCAL_EMAIL)
    if local is None:
        local = await repository.add_user(session, repository.LOCAL_EMAIL, "Command line", None, "user")
    if local is None:  # another command was a moment quicker
        local = await find(session, repository.LOCAL_EMAIL)
    return local


async def add(session: AsyncSession, email: str, password_hash: str, role: Role) -> User:
    """Makes an account, even where registration is closed; raises ``EmailTaken``."""
    user = await repository.add_user(session, normalise_email(email), None, password_hash, role)
    if user is None:
        raise errors.EmailTaken
    return user


async def set_role(session: AsyncSession, email: str, role: Role) -> User:
    """Gives a role; raises ``UserNotFound`` or ``LastAdministrator``."""
    user = await find(session, email)
    if role != "admin":
        await _keep_one_administrator(session, user)
    user.role = role
    user.updated_at = await repository.clock(session)
    return user


async def set_weight(session: AsyncSession, email: str, weight: float) -> User:
    """Sets the weight of somebody's jobs in fair share, 0.01 to 100; raises ``UserNotFound``."""
    user = await find(session, email)
    user.queue_weight = weight
    user.updated_at = await repository.clock(session)
    return user


async def set_disabled(session: AsyncSession, email: str, *, disabled: bool) -> User:
    """Locks an account and ends its sessions, or opens it again; raises ``UserNotFound`` or ``LastAdministrator``."""
    user = await find(session, email)
    now = await repository.clock(session)
    if disabled:
        await _keep_one_administrator(session, user)
        await repository.revoke_all_sessions(session, user.id)
    user.disabled_at = (user.disabled_at or now) if disabled else None
    user.updated_at = now
    return user


async def set_password(session: AsyncSession, email: str, password_hash: str) -> User:
    """Replaces a password, ends the sessions opened with the old one, and forgets failed sign-ins."""
    user = await find(session, email)
    user.password_hash = password_hash
    user.updated_at = await repository.clock(session)
    await repository.revoke_all_sessions(session, user.id)
    await repository.forget_failures(session, throttle.account_subject(user.email))
    return user


async def hash_for(email: str, password: str) -> str:
    """The hash of a new password, checked as at registration; raises ``InvalidInput`` with what is wrong with it."""
    try:
        checked = Registration(email=email, password=SecretStr(password))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidInput(" ".join(f"{item['loc'][0]}: {item['msg']}." for item in found)) from None
    return await passwords.hash_password(checked.password.get_secret_value())


def state(user: User) -> Literal["disabled", "active", "no password"]:
    """How an account stands, in a word."""
    if user.disabled_at is not None:
        return "disabled"
    return "active" if user.password_hash is not None else "no password"


def role_of(user: User) -> Role:
    """The account's role."""
    return cast("Role", user.role)


async def _keep_one_administrator(session: AsyncSession, user: User) -> None:
    administrators = await repository.active_administrators(session, lock=True)
    if [other.id for other in administrators] == [user.id]:
        raise errors.LastAdministrator(user.email)
