"""Jobs as clients see them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "succeeded", "failed", "canceled"]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "canceled"})


def _utc(value: datetime) -> datetime:
    """The same moment in UTC, which a time without a zone is taken to be in already."""
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:  # the year 0 or 10000, once the offset is taken off
        raise ValueError("a time between the years 1 and 9999, in UTC") from None


class JobError(BaseModel):
    """Why the last attempt ended: a stable code, and words that say what to do next."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class Progress(BaseModel):
    """How far a running job is, 0 to 100 percent."""

    percent: float | None = None
    message: str | None = None


class JobOut(BaseModel):
    """A job. ``queue_position`` is set on a single job that waits: 1 is next, counted to 100. Times are UTC."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    status: Status
    priority: int
    attempt: int = Field(description="The present or last attempt; 0 before the first.")
    max_attempts: int
    input: dict[str, Any]
    output: dict[str, Any] | None
    error: JobError | None
    progress: Progress | None
    queue_position: int | None = None
    cancel_requested: bool
    retry_of: UUID | None
    created_at: datetime
    run_at: datetime | None = Field(description="Null: it is held until another job of the same work has ended.")
    started_at: datetime | None
    finished_at: datetime | None


class JobSubmit(BaseModel):
    """What a client submits."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(min_length=1, max_length=100, description="`room.verb`, such as `llm.complete`.")
    input: dict[str, Any] = Field(description="As the kind's schema says.")
    priority: int = Field(default=5, ge=0, le=9, description="Higher starts first.")
    run_at: Annotated[datetime, AfterValidator(_utc)] | None = Field(
        default=None, description="Not before this time (UTC unless it says otherwise)."
    )
    max_attempts: int | None = Field(default=None, ge=1, le=25)
