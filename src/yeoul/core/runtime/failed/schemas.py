"""Failed jobs that nobody has retried yet, and what came of retrying many."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from yeoul.core.jobs.schemas import JobError, JobOut

MOST_AT_ONCE = 500
"""Jobs one request may retry."""
COUNTED = 10_000
"""Failed jobs that groups are made of, the newest."""

KindName = Annotated[str, Field(min_length=1, max_length=100, pattern="^[^\0]*$")]
ErrorCode = Annotated[str, Field(min_length=1, max_length=100, pattern="^[^\0]*$")]


class FailedJob(JobOut):
    """A failed job. ``owner`` is its owner's email, where an administrator looks at everybody's."""

    owner: str | None = None


class FailedGroup(BaseModel):
    """Failed jobs of one kind that failed with one code. ``message`` is that of the newest."""

    kind: str
    code: str
    jobs: int
    newest: datetime
    message: str


class FailedGroups(BaseModel):
    """The groups, the largest first. ``capped``: there are more failed jobs than were counted."""

    groups: list[FailedGroup]
    jobs: int
    capped: bool


class Filter(BaseModel):
    """Which failed jobs: all that are left out of it count."""

    model_config = ConfigDict(extra="forbid")

    kind: KindName | None = None
    code: ErrorCode | None = Field(default=None, description="The error's code.")
    everyone: bool = Field(default=False, description="Other users' jobs too; for administrators.")


class RetryMany(BaseModel):
    """Which jobs to retry: these ``ids``, or the oldest failed ones that a ``filter`` lets through."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_AT_ONCE)] | None = None
    filter: Filter | None = None
    limit: int = Field(default=MOST_AT_ONCE, ge=1, le=MOST_AT_ONCE, description="At most so many by a filter.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or a filter")
        return self


class Retried(BaseModel):
    """What came of one job: the new job's id, the one an earlier request made, or why there is none."""

    id: UUID
    outcome: Literal["retried", "already_retried", "refused"]
    job_id: UUID | None = None
    error: JobError | None = None


class RetriedMany(BaseModel):
    """What came of each, in the order asked; ``retried`` counts the new jobs."""

    results: list[Retried]
    retried: int
