"""Prompts, executions and results. What writes results and statuses is in the migrations: a trigger on the jobs."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ForeignKey, Index, MetaData, Numeric, Text, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from yeoul.core.db.tables import Base

_NOW = text("now()")


def _owner() -> Any:  # noqa: ANN401  (mapped_column's own type says no more)
    return mapped_column(ForeignKey("yeoul.users.id", ondelete="CASCADE"))


class Prompt(Base):
    """What is asked. It never changes: a changed one is another prompt."""

    __tablename__ = "playground_prompts"
    __table_args__ = (Index("playground_prompts_owner", "owner_id", text("id DESC")),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    system_prompt: Mapped[str | None]
    user_prompt: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    selected_model: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Execution(Base):
    """A prompt asked so many times of each model. ``job_ids``: iteration by iteration, in each model by model."""

    __tablename__ = "playground_executions"
    __table_args__ = (
        Index("playground_executions_prompt_id", "prompt_id"),
        Index("playground_executions_owner", "owner_id", text("id DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.playground_prompts.id", ondelete="CASCADE"))
    iterations: Mapped[int]
    models: Mapped[list[str]] = mapped_column(ARRAY(Text))
    concurrency: Mapped[int | None]
    stream: Mapped[bool]
    job_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid(as_uuid=True)))
    status: Mapped[str] = mapped_column(server_default=text("'started'"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Result(Base):
    """How one iteration of one model ended. Its id is that of the iteration's first job."""

    __tablename__ = "playground_results"
    __table_args__ = (
        UniqueConstraint("execution_id", "iteration_number", "model"),
        Index("playground_results_owner_id", "owner_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    execution_id: Mapped[UUID] = mapped_column(ForeignKey("yeoul.playground_executions.id", ondelete="CASCADE"))
    iteration_number: Mapped[int]
    model: Mapped[str]
    job_id: Mapped[UUID]
    response_text: Mapped[str | None]
    tokens_used: Mapped[dict[str, Any] | None]
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    response_time_ms: Mapped[int | None]
    first_token_ms: Mapped[int | None]
    finish_reason: Mapped[str | None]
    status: Mapped[str]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


def metadata() -> MetaData:
    """The schema with these tables in it."""
    return Base.metadata
