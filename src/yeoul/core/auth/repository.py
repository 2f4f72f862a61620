"""The SQL of accounts. Every function works in the caller's transaction."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CursorResult, Row, delete, func, or_, select, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.principal import Role
from yeoul.core.auth.tables import ApiKey, AuthSession, LoginAttempt, User

_FIRST_USER_LOCK = 0x7965_6F75_0001  # 'yeou', 1: who may be the first user holds it

LOCAL_EMAIL = "local@localhost"
"""The user that the command line acts as where there is no administrator; made without a password."""

SYSTEM_EMAIL = "system"
"""No address, so nobody can register it, and no command finds it by accident."""
SYSTEM_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The installation itself, as the owner of its own jobs: disabled and without a password, so nobody signs in as it."""

_OWN_COLUMNS = (User.id, User.email, User.name, User.role, User.created_at)
"""What the tenant scope may read of its user."""

_SESSION_COLUMNS = (
    AuthSession.id,
    AuthSession.created_at,
    AuthSession.rotated_at,
    AuthSession.expires_at,
    AuthSession.user_agent,
)
_OPEN = (AuthSession.revoked_at.is_(None), AuthSession.expires_at > func.now())


async def good_credentials(session: AsyncSession, credentials: Collection[UUID | None]) -> set[UUID | None]:
    """Those of these sessions and keys that are still good, and whose users may be here."""
    by_session = select(AuthSession.id).join(User, User.id == AuthSession.user_id).where(*_OPEN)
    key_lasts = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
    by_key = select(ApiKey.id).join(User, User.id == ApiKey.user_id).where(key_lasts)
    found = union_all(
        by_session.where(AuthSession.id.in_(credentials), User.disabled_at.is_(None)),
        by_key.where(ApiKey.id.in_(credentials), User.disabled_at.is_(None)),
    )
    return set((await session.scalars(found)).all())


async def clock(session: AsyncSession) -> datetime:
    """The database's time, this very moment."""
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def is_first_user(session: AsyncSession) -> bool:
    """Whether nobody has an account yet. If so, nobody else gets that answer until this transaction ends."""
    if await has_accounts(session):
        return False
    await session.execute(select(func.pg_advisory_xact_lock(_FIRST_USER_LOCK)))
    return not await has_accounts(session)


async def has_accounts(session: AsyncSession) -> bool:
    """Whether anybody has an account: the installation's and the command line's own users are nobody."""
    somebody = or_(User.email != LOCAL_EMAIL, User.password_hash.is_not(None))
    return await session.scalar(select(User.id).where(somebody, User.id != SYSTEM_ID).limit(1)) is not None


async def ensure_system_user(session: AsyncSession) -> UUID:
    """Makes the installation's own user when there is none yet; its id."""
    values = {"id": SYSTEM_ID, "email": SYSTEM_EMAIL, "name": "Yeoul", "disabled_at": func.now()}
    await session.execute(insert(User).values(values).on_conflict_do_nothing())
    return SYSTEM_ID


async def add_user(
    session: AsyncSession, email: str, name: str | None, password_hash: str | None, role: Role
) -> User | None:
    """A new user; null when the email is taken."""
    values = {"email": email, "name": name, "password_hash": password_hash, "role": role}
    statement = insert(User).values(values).on_conflict_do_nothing(index_elements=[User.email]).returning(User)
    return await session.scalar(statement)


async def user_by_email(session: AsyncSession, email: str) -> User | None:
    """The user with this (normalised) email."""
    return await session.scalar(select(User).where(User.email == email))


async def users(session: AsyncSession) -> Sequence[User]:
    """Everybody, the oldest first; not the installation itself."""
    return (await session.scalars(select(User).where(User.id != SYSTEM_ID).order_by(User.created_at, User.id))).all()


async def active_administrators(session: AsyncSession, *, lock: bool = False) -> Sequence[User]:
    """Administrators who are not disabled, the oldest first; with ``lock``, theirs are the rows nobody else changes."""
    query = select(User).where(User.role == "admin", User.disabled_at.is_(None)).order_by(User.created_at, User.id)
    return (await session.scalars(query.with_for_update() if lock else query)).all()


async def own_user(session: AsyncSession, user_id: UUID) -> Row[UUID, str, str | None, str, datetime] | None:
    """The user's own row, in their tenant scope."""
    return (await session.execute(select(*_OWN_COLUMNS).where(User.id == user_id))).one_or_none()


async def replace_hash(session: AsyncSession, user: User, new_hash: str) -> None:
    """Stores a new hash of the same password, unless the password has changed meanwhile."""
    unchanged = (User.id == user.id, User.password_hash == user.password_hash)
    await session.execute(
        update(User).where(*unchanged).values(password_hash=new_hash).execution_options(synchronize_session=False)
    )


async def session_for_update(session: AsyncSession, session_id: UUID) -> tuple[AuthSession, User] | None:
    """A session and its user; the session stays locked until the transaction ends."""
    statement = (
        select(AuthSession, User)
        .join(User, User.id == AuthSession.user_id)
        .where(AuthSession.id == session_id)
        .with_for_update(of=AuthSession)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def open_sessions(
    session: AsyncSession, user_id: UUID, before: UUID | None, limit: int
) -> Sequence[Row[UUID, datetime, datetime | None, datetime, str | None]]:
    """A user's open sessions, the newest first, in their tenant scope."""
    query = select(*_SESSION_COLUMNS).where(AuthSession.user_id == user_id, *_OPEN)
    if before is not None:
        query = query.where(AuthSession.id < before)
    return (await session.execute(query.order_by(AuthSession.id.desc()).limit(limit))).all()


async def users_of_open_sessions(session: AsyncSession, session_ids: Sequence[UUID]) -> Sequence[UUID]:
    """Whose sessions these are, those that have ended left out."""
    query = select(AuthSession.user_id).where(AuthSession.id.in_(session_ids), *_OPEN).distinct()
    return (await session.scalars(query)).all()


async def revoke_sessions(session: AsyncSession, session_ids: Sequence[UUID], *, user_id: UUID | None = None) -> int:
    """Ends sessions, of this user alone where one is named; returns how many were open."""
    owned = () if user_id is None else (AuthSession.user_id == user_id,)
    statement = (
        update(AuthSession)
        .where(AuthSession.id.in_(session_ids), *_OPEN, *owned)
        .values(revoked_at=func.now())
        .execution_options(synchronize_session=False)
    )
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)  # noqa: S101  (what an UPDATE gives)
    return result.rowcount


async def revoke_all_sessions(session: AsyncSession, user_id: UUID) -> None:
    """Ends every session of a user."""
    mine = (AuthSession.user_id == user_id, AuthSession.revoked_at.is_(None))
    await session.execute(
        update(AuthSession).where(*mine).values(revoked_at=func.now()).execution_options(synchronize_session=False)
    )


async def forget_old_sessions(session: AsyncSession, user_id: UUID) -> None:
    """Deletes the user's sessions that ended over a day ago; no token of theirs is good any more."""
    ended = or_(AuthSession.expires_at < func.now(), AuthSession.revoked_at < func.now() - timedelta(days=1))
    await session.execute(delete(AuthSession).where(AuthSession.user_id == user_id, ended))


async def lock_subjects(session: AsyncSession, subjects: Sequence[str]) -> None:
    """Makes sign-ins of the same subjects take turns until the transaction ends."""
    keys = sorted(int.from_bytes(hashlib.sha256(s.encode()).digest()[:8], "big", signed=True) for s in subjects)
    for key in keys:  # in one order everywhere, so that nobody waits in a ring
        await session.execute(select(func.pg_advisory_xact_lock(key)))


async def seconds_until_allowed(session: AsyncSession, subjects: Sequence[str], quota: int, window: timedelta) -> float:
    """How long until every subject has fewer than ``quota`` failures within the window; 0 when that is so now."""
    ranked = (
        select(
            LoginAttempt.at,
            func.row_number().over(partition_by=LoginAttempt.subject, order_by=LoginAttempt.at.desc()).label("rank"),
        )
        .where(LoginAttempt.subject.in_(subjects), LoginAttempt.at > func.clock_timestamp() - window)
        .subquery()
    )
    left = func.extract("epoch", func.max(ranked.c.at) + window - func.clock_timestamp())
    seconds = await session.scalar(select(left).where(ranked.c.rank == quota))
    return max(float(seconds), 0.0) if seconds is not None else 0.0


async def add_attempt(session: AsyncSession, subjects: Sequence[str], window: timedelta) -> Sequence[int]:
    """Counts a failed sign-in or a new account, and forgets those that no longer count. Returns what it counted."""
    rows = [{"subject": subject, "at": func.clock_timestamp()} for subject in subjects]
    counted = (await session.scalars(insert(LoginAttempt).values(rows).returning(LoginAttempt.id))).all()
    await session.execute(delete(LoginAttempt).where(LoginAttempt.at < func.clock_timestamp() - window))
    return counted


async def take_back(session: AsyncSession, counted: Sequence[int]) -> None:
    """Uncounts what ``add_attempt`` counted."""
    await session.execute(delete(LoginAttempt).where(LoginAttempt.id.in_(counted)))


async def forget_failures(session: AsyncSession, subject: str) -> None:
    """Starts a subject's count anew."""
    await session.execute(delete(LoginAttempt).where(LoginAttempt.subject == subject))


async def add_session(session: AsyncSession, row: AuthSession) -> None:
    """Stores a new session."""
    session.add(row)
    await session.flush()
