"""Schedules as clients see them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from yeoul.core.jobs.schemas import JobError

Missed = Literal["skip", "once"]
Overlap = Literal["allow", "skip"]

LONGEST_SECONDS = 366 * 86_400

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern="^[^\0-\x1f]*$")]
Cron = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern="^[^\0]*$")]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_SECONDS)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Priority = Annotated[int, Field(ge=0, le=9)]


class ScheduleIn(BaseModel):
    """A new schedule: ``cron`` or ``every_seconds``, one of them."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="What tells it from your others.")
    kind: str = Field(min_length=1, max_length=100, description="`room.verb`, such as `llm.complete`.")
    input: dict[str, Any] = Field(description="As the kind's schema says.")
    priority: Priority = Field(default=5, description="Of its jobs: higher starts first.")
    cron: Cron | None = Field(
        default=None, description="Five fields (minute, hour, day, month, weekday), or `@hourly`, `@daily` and so on."
    )
    every_seconds: Seconds | None = Field(default=None, description="An interval instead, counted from now.")
    time_zone: Zone = Field(default="UTC", description="IANA name of the zone that `cron` is read in.")
    missed: Missed = Field(
        default="once",
        description="Ticks that nobody was there for: `once` runs it once for all of them, `skip` waits for the next.",
    )
    overlap: Overlap = Field(
        default="skip",
        description="While its last run has not ended: `skip` leaves the tick out, `allow` runs beside it.",
    )
    enabled: bool = Field(default=True, description="False makes it paused.")


class ScheduleChange(BaseModel):
    """What to change; what is left out stays. ``cron`` takes the place of ``every_seconds`` and the other way round."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    kind: str | None = Field(default=None, min_length=1, max_length=100)
    input: dict[str, Any] | None = None
    priority: Priority | None = None
    cron: Cron | None = None
    every_seconds: Seconds | None = None
    time_zone: Zone | None = None
    missed: Missed | None = None
    overlap: Overlap | None = None
    enabled: bool | None = None


class ScheduleOut(BaseModel):
    """A schedule. ``next_at`` is null while it is paused. Times are UTC."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    kind: str
    input: dict[str, Any]
    priority: int
    cron: str | None
    every_seconds: int | None
    time_zone: str
    missed: Missed
    overlap: Overlap
    enabled: bool
    next_at: datetime | None
    last_at: datetime | None = Field(description="When it last made a job.")
    last_job_id: UUID | None = Field(description="That job; null once it has been deleted.")
    last_error: JobError | None = Field(description="Why the last tick made no job; null once one has.")
    created_at: datetime
    updated_at: datetime
