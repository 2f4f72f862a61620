"""Schedules and what their ticks made."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from yeoul.core.base.ids import new_id
from yeoul.core.db.tables import Base

_NOW = text("now()")


class Schedule(Base):
    """A job that is submitted again and again: by a cron expression, or every so many seconds."""

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        CheckConstraint("(cron IS NULL) <> (every_seconds IS NULL)"),
        Index("schedules_due", "next_at", postgresql_where=text("enabled AND next_at IS NOT NULL")),
        Index("schedules_last_job_id", "last_job_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.users.id", ondelete="CASCADE"))
    name: Mapped[str]
    built_in: Mapped[str | None] = mapped_column(unique=True)
    kind: Mapped[str]
    input: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(SmallInteger)
    cron: Mapped[str | None]
    every_seconds: Mapped[int | None]
    time_zone: Mapped[str]
    missed: Mapped[str]
    overlap: Mapped[str]
    enabled: Mapped[bool]
    next_at: Mapped[datetime | None]
    last_at: Mapped[datetime | None]
    last_job_id: Mapped[UUID | None] = mapped_column(ForeignKey("yeoul.jobs.id", ondelete="SET NULL"))
    last_error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class ScheduleRun(Base):
    """The job that a tick made, or a run by hand."""

    __tablename__ = "schedule_runs"
    __table_args__ = (
        Index("schedule_runs_job_id", "job_id"),
        Index("schedule_runs_owner_id", "owner_id"),
    )

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.schedules.id", ondelete="CASCADE"), primary_key=True)
    tick: Mapped[datetime] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.users.id", ondelete="CASCADE"))
    job_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.jobs.id", ondelete="CASCADE"))
