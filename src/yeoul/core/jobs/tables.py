"""Jobs, the workers that hold them, and the queue's bookkeeping. Rows change through `queries.py` and SQL functions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    desc,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from yeoul.core.db.tables import Base

_NOW = text("now()")
_QUEUED = text("status = 'queued'")
_READY = text("status = 'queued' AND fair_at IS NOT NULL")
_RUNNING = text("status = 'running'")
_FAILED = text("status = 'failed'")


def _user() -> ForeignKey:
    return ForeignKey("yeoul.users.id", ondelete="CASCADE")


def _job() -> ForeignKey:
    return ForeignKey("yeoul.jobs.id", ondelete="CASCADE")


class Job(Base):
    """One durable piece of AI work."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(_user())
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    input: Mapped[dict[str, Any]]
    output: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    progress: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    max_attempts: Mapped[int]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    worker_id: Mapped[UUID | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    fair_at: Mapped[float | None] = mapped_column(Double)
    retry_of: Mapped[UUID | None] = mapped_column(ForeignKey("yeoul.jobs.id", ondelete="SET NULL"))
    root_id: Mapped[UUID]
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    run_at: Mapped[datetime | None] = mapped_column(server_default=_NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("priority BETWEEN 0 AND 9"),
        Index("jobs_ready", desc("priority"), "fair_at", "id", postgresql_where=_READY),
        Index("jobs_ready_kind", "kind", desc("priority"), "fair_at", "id", postgresql_where=_READY),
        Index("jobs_ready_owner", "owner_id", desc("priority"), "fair_at", "id", postgresql_where=_READY),
        Index("jobs_ready_age", "kind", "run_at", postgresql_where=_READY),
        Index("jobs_due", "run_at", postgresql_where=text("status = 'queued' AND fair_at IS NULL")),
        Index("jobs_running", "worker_id", postgresql_where=_RUNNING),
        Index("jobs_running_owner", "owner_id", postgresql_where=_RUNNING),
        Index("jobs_queued", "owner_id", desc("id"), postgresql_where=_QUEUED),
        Index("jobs_owner", "owner_id", desc("id")),
        Index("jobs_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
        Index("jobs_retries", "root_id", postgresql_where=text("root_id <> id")),
        Index("jobs_ended", desc("finished_at"), postgresql_where=text("finished_at IS NOT NULL")),
        Index("jobs_failed", desc("id"), postgresql_where=_FAILED),
        Index("jobs_failed_own", "owner_id", desc("id"), postgresql_where=_FAILED),
        Index("jobs_kind_finished", "kind", desc("finished_at"), postgresql_where=text("status = 'succeeded'")),
    )


class Worker(Base):
    """A worker process and its lease: silent past ``expires_at``, its jobs are anybody's."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    born: Mapped[str]
    concurrency: Mapped[int]
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    running: Mapped[int] = mapped_column(server_default=text("0"))
    started_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    expires_at: Mapped[datetime]


class QueueClass(Base):
    """The virtual clock of a priority."""

    __tablename__ = "queue_class"

    priority: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    vtime: Mapped[float] = mapped_column(Double, server_default=text("0"))


class QueueFlow(Base):
    """Where an owner's backlog of a priority ends on that clock."""

    __tablename__ = "queue_flow"

    priority: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(_user(), primary_key=True)
    finish: Mapped[float] = mapped_column(Double)


class KindCost(Base):
    """How long jobs of a kind usually take, in seconds."""

    __tablename__ = "kind_costs"

    kind: Mapped[str] = mapped_column(primary_key=True)
    average_seconds: Mapped[float] = mapped_column(Double)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Step(Base):
    """A finished step of a handler, kept under the first job of a chain of retries."""

    __tablename__ = "steps"
    __table_args__ = (Index("steps_job_id", "job_id"),)

    root_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(_job())
    owner_id: Mapped[UUID] = mapped_column(_user())
    output: Mapped[dict[str, Any] | None]
    seq_end: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class IdempotencyKey(Base):
    """What an ``Idempotency-Key`` made."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("idempotency_keys_expires_at", "expires_at"),
        Index("idempotency_keys_job_id", "job_id"),
    )

    owner_id: Mapped[UUID] = mapped_column(_user(), primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    job_id: Mapped[UUID] = mapped_column(_job())
    expires_at: Mapped[datetime]
