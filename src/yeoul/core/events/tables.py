"""The event log and the shared streams. Written by SQL in `queries.py` and by the database's own functions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from yeoul.core.db.tables import Base


class Stream(Base):
    """A shared stream: an ordered log that many writers append to. A job's stream has no row; its id is the job's."""

    __tablename__ = "streams"
    __table_args__ = (Index("streams_owner_id", "owner_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("yeoul.users.id", ondelete="CASCADE"))
    topic: Mapped[str] = mapped_column(unique=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class LoggedEvent(Base):
    """One entry of a stream's log."""

    __tablename__ = "events"

    stream_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
