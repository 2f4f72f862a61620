"""The SQL of identities. Every function works in the caller's transaction."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.outside.issuer import Outsider
from yeoul.core.auth.tables import AuthSession, OutsideIdentity, User


async def by_subject(session: AsyncSession, issuer: str, subject: str) -> tuple[OutsideIdentity, User] | None:
    """An identity and whose it is."""
    query = (
        select(OutsideIdentity, User)
        .join(User, User.id == OutsideIdentity.user_id)
        .where(OutsideIdentity.issuer == issuer, OutsideIdentity.subject == subject)
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def of_user(session: AsyncSession, user_id: UUID) -> Sequence[OutsideIdentity]:
    """A user's identities, the oldest first."""
    query = select(OutsideIdentity).where(OutsideIdentity.user_id == user_id).order_by(OutsideIdentity.id)
    return (await session.scalars(query)).all()


async def add(session: AsyncSession, user_id: UUID, outsider: Outsider) -> OutsideIdentity:
    """Links an identity to a user."""
    row = OutsideIdentity(
        user_id=user_id,
        issuer=outsider.issuer,
        subject=outsider.subject,
        email=outsider.email,
        email_verified=outsider.email_verified,
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def touch(session: AsyncSession, identity: OutsideIdentity) -> None:
    """Notes that somebody signs in with it."""
    identity.last_used_at = await session.scalar(select(func.now())) or identity.last_used_at


async def remove(session: AsyncSession, identity_id: UUID) -> None:
    """Deletes an identity."""
    await session.execute(delete(OutsideIdentity).where(OutsideIdentity.id == identity_id))


async def user_for_update(session: AsyncSession, user_id: UUID) -> User | None:
    """A user; the row stays locked until the transaction ends."""
    return await session.scalar(select(User).where(User.id == user_id).with_for_update())


async def user_of_open_session(session: AsyncSession, session_id: UUID) -> User | None:
    """The user of a session that has not ended, if they are not disabled."""
    query = (
        select(User)
        .join(AuthSession, AuthSession.user_id == User.id)
        .where(
            AuthSession.id == session_id,
            AuthSession.revoked_at.is_(None),
            AuthSession.expires_at > func.now(),
            User.disabled_at.is_(None),
        )
    )
    return await session.scalar(query)
