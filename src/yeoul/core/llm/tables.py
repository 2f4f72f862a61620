"""What models may be asked, mapped. ``limits.sql`` of the migrations says what the columns mean, and uses them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Double, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from yeoul.core.db.tables import Base

_ZERO = text("0")
_WAITS = text("due IS NOT NULL")


class ModelMeter(Base):
    """Breaker and hold of a model."""

    __tablename__ = "model_meters"

    scope: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(server_default=_ZERO)
    failed_at: Mapped[datetime | None]
    opens: Mapped[int] = mapped_column(server_default=_ZERO)
    open_until: Mapped[datetime | None]
    probe_until: Mapped[datetime | None]
    hold_until: Mapped[datetime | None]
    holds: Mapped[int] = mapped_column(server_default=_ZERO)
    reply: Mapped[float | None] = mapped_column(Double)
    touched_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class ModelUse(Base):
    """Calls let through in a sixtieth of a minute."""

    __tablename__ = "model_uses"

    scope: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    requests: Mapped[int]
    tokens: Mapped[int] = mapped_column(BigInteger)


class ModelWait(Base):
    """A job that waits until its model takes calls."""

    __tablename__ = "model_waits"
    __table_args__ = (
        Index("model_waits_place", "scope", "lane", "place", "since", "caller", postgresql_where=_WAITS),
        Index("model_waits_owner", "scope", "owner_id", "lane", "place"),
        Index("model_waits_caller", "caller"),
    )

    scope: Mapped[str] = mapped_column(primary_key=True)
    caller: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    lane: Mapped[int] = mapped_column(SmallInteger)
    place: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[datetime]
    due: Mapped[datetime | None]
    weight: Mapped[int] = mapped_column(BigInteger)
