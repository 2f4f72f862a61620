"""Sealed secrets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from yeoul.core.db.tables import Base


class Secret(Base):
    """A user's secret by name. ``hint`` is its last characters; nothing else of it is ever shown."""

    __tablename__ = "secrets"

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.users.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    last_used_at: Mapped[datetime | None]
