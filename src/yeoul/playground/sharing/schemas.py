"""Shared prompts. What those who hold the address see has no id of the owner's: not of prompts, executions or jobs."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from yeoul.playground.schemas import (
    ExecutionStatus,
    ExecutionText,
    ModelStatistics,
    PendingText,
    PromptText,
    ResultText,
)


class ShareOut(BaseModel):
    """A prompt's address for those who may read it. The id is random: who does not have it does not find it."""

    id: UUID
    url: str
    created_at: datetime


class SharedPrompt(PromptText):
    """A prompt without its place among others: no version, no labels."""

    created_at: datetime


class SharedStatus(BaseModel):
    """How an execution stands."""

    status: ExecutionStatus
    execution: ExecutionText
    results: list[ResultText]
    pending: list[PendingText]
    statistics: list[ModelStatistics]


class Shared(BaseModel):
    """A shared prompt with its latest executions, newest first: 10 at most."""

    prompt: SharedPrompt
    executions: list[SharedStatus]
