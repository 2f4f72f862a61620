"""``Idempotency-Key``: the same request twice makes one job.

The key is written in the job's own transaction, so either both exist or neither. It keeps ids, never answers.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.jobs.errors import IdempotencyInFlight, IdempotencyMismatch
from yeoul.core.jobs.tables import IdempotencyKey

KEEP = timedelta(hours=24)


@dataclass(frozen=True)
class Request:
    """What an Idempotency-Key stands for: the same one, of the same user, at the same place."""

    owner_id: UUID
    method: str
    path: str
    key: str
    body: bytes

    @property
    def body_hash(self) -> bytes:
        """What tells one body from another."""
        return hashlib.sha256(self.body).digest()

    @property
    def lock(self) -> int:
        """The advisory lock of a request under way."""
        name = "\0".join((str(self.owner_id), self.method, self.path, self.key)).encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big", signed=True)


async def replay(session: AsyncSession, request: Request) -> UUID | None:
    """The job an earlier request with this key made, or null when this is the first.

    Raises ``IdempotencyInFlight`` while the first is under way, ``IdempotencyMismatch`` when it had another body.
    """
    if not await session.scalar(select(func.pg_try_advisory_xact_lock(request.lock))):
        raise IdempotencyInFlight(
            "The first request with this Idempotency-Key is still under way; ask again in a moment.", retry_after=1
        )
    row = await session.get(IdempotencyKey, (request.owner_id, request.method, request.path, request.key))
    if row is None:
        return None
    if row.body_hash != request.body_hash:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used with another body before. Use a new key for a new request."
        )
    return row.job_id


async def remember(session: AsyncSession, request: Request, job_id: UUID) -> None:
    """Keeps what the key made, for a day."""
    now = (await session.scalars(select(func.now()))).one()
    session.add(
        IdempotencyKey(
            owner_id=request.owner_id,
            method=request.method,
            path=request.path,
            key=request.key,
            body_hash=request.body_hash,
            job_id=job_id,
            expires_at=now + KEEP,
        )
    )
    await session.flush()
