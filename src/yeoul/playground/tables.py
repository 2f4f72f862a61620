"""Prompts, executions and results. What writes results and statuses is in the migrations: a trigger on the jobs."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import Mapped, column_property, mapped_column

from yeoul.core.db.tables import Base

_NOW = text("now()")


def _owner(*, key: bool = False) -> Any:  # noqa: ANN401  (mapped_column's own type says no more)
    return mapped_column(ForeignKey("yeoul.users.id", ondelete="CASCADE"), primary_key=key)


def _prompt(*, key: bool = False) -> Any:  # noqa: ANN401  (the same)
    return mapped_column(ForeignKey("yeoul.playground_prompts.id", ondelete="CASCADE"), primary_key=key)


def _execution(*, key: bool = False) -> Any:  # noqa: ANN401  (the same)
    return mapped_column(ForeignKey("yeoul.playground_executions.id", ondelete="CASCADE"), primary_key=key)


class Label(Base):
    """A name that moves from one version of a family to another."""

    __tablename__ = "playground_labels"
    __table_args__ = (Index("playground_labels_prompt_id", "prompt_id"),)

    owner_id: Mapped[UUID] = _owner(key=True)
    family_id: Mapped[UUID] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    prompt_id: Mapped[UUID] = _prompt()
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Prompt(Base):
    """What is asked: one version of a family. It never changes: a changed one is the next version."""

    __tablename__ = "playground_prompts"
    __table_args__ = (
        UniqueConstraint("owner_id", "family_id", "version"),
        Index("playground_prompts_owner", "owner_id", text("id DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    family_id: Mapped[UUID]
    version: Mapped[int]
    name: Mapped[str | None]
    system_prompt: Mapped[str | None]
    user_prompt: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    response_schema: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    variables: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    images: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    selected_model: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    labels: Mapped[list[str]] = column_property(
        select(func.coalesce(func.array_agg(aggregate_order_by(Label.label, Label.label)), text("'{}'")))
        .where(Label.prompt_id == id)  # noqa: A003  (the column above)
        .correlate_except(Label)
        .scalar_subquery()
    )


class Image(Base):
    """The data of a prompt's image; what it is stands in the prompt."""

    __tablename__ = "playground_images"
    __table_args__ = (Index("playground_images_owner_id", "owner_id"),)

    prompt_id: Mapped[UUID] = _prompt(key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Share(Base):
    """A prompt that whoever has the id may read, with its results."""

    __tablename__ = "playground_shares"
    __table_args__ = (UniqueConstraint("prompt_id"), Index("playground_shares_owner_id", "owner_id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    prompt_id: Mapped[UUID] = _prompt()
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Execution(Base):
    """A prompt asked so many times of each model, with each case: iteration by iteration, and so are ``job_ids``."""

    __tablename__ = "playground_executions"
    __table_args__ = (
        Index("playground_executions_prompt_id", "prompt_id"),
        Index("playground_executions_owner", "owner_id", text("id DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    prompt_id: Mapped[UUID] = _prompt()
    iterations: Mapped[int]
    models: Mapped[list[str]] = mapped_column(ARRAY(Text))
    case_count: Mapped[int] = mapped_column(server_default=text("0"))
    checks: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    concurrency: Mapped[int | None]
    timeout_seconds: Mapped[int | None]
    max_cost_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    stream: Mapped[bool]
    job_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid(as_uuid=True)))
    status: Mapped[str] = mapped_column(server_default=text("'started'"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Case(Base):
    """What a prompt's variables are in one of an execution's cases."""

    __tablename__ = "playground_cases"
    __table_args__ = (Index("playground_cases_owner_id", "owner_id"),)

    execution_id: Mapped[UUID] = _execution(key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    given: Mapped[dict[str, Any]]


class Result(Base):
    """How one iteration of one model ended. Its id is that of the iteration's first job."""

    __tablename__ = "playground_results"
    __table_args__ = (
        UniqueConstraint("execution_id", "iteration_number", "case_number", "model"),
        Index("playground_results_owner_id", "owner_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = _owner()
    execution_id: Mapped[UUID] = _execution()
    iteration_number: Mapped[int]
    case_number: Mapped[int] = mapped_column(server_default=text("1"))
    model: Mapped[str]
    job_id: Mapped[UUID]
    response_text: Mapped[str | None]
    tokens_used: Mapped[dict[str, Any] | None]
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    judging: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    checks: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
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
