"""What clients get. Names are those of the tables."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from yeoul.core.jobs.schemas import JobError, Progress

ExecutionStatus = Literal["started", "running", "completed", "partial", "failed", "canceled"]
"""``partial``: some answered, some failed. ``canceled``: some were canceled, what the others gave is kept."""


class Started(BaseModel):
    """An execution that has begun."""

    execution_id: UUID
    prompt_id: UUID
    status: Literal["started"] = "started"


class ImageOut(BaseModel):
    """An image of a prompt, without its data: ``GET /api/prompts/{id}/images/{number}`` has that, from 1."""

    media_type: str
    bytes: int


class PromptText(BaseModel):
    """What a prompt says, whosever it is."""

    model_config = ConfigDict(from_attributes=True)

    name: str | None
    system_prompt: str | None
    user_prompt: str
    parameters: dict[str, Any]
    response_schema: dict[str, Any] | None
    variables: list[str]
    images: list[ImageOut]
    selected_model: str


class PromptOut(PromptText):
    """A prompt: one version of a family, which is called by the id of its first version."""

    id: UUID
    family_id: UUID
    version: int
    labels: list[str]
    created_at: datetime
    updated_at: datetime


class ExecutionText(BaseModel):
    """How a prompt is executed, whosever it is. Times are UTC."""

    model_config = ConfigDict(from_attributes=True)

    iterations: int
    models: list[str]
    case_count: int
    cases: list[dict[str, str]] | None = Field(
        default=None, description="Null in lists of executions, which may have 200 each: see `case_count`."
    )
    checks: list[dict[str, Any]]
    concurrency: int | None
    timeout_seconds: int | None
    max_cost_usd: Decimal | None
    stream: bool
    status: ExecutionStatus
    cancel_requested: bool
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ExecutionOut(ExecutionText):
    """An execution."""

    id: UUID
    prompt_id: UUID


class TokensUsed(BaseModel):
    """Tokens of one answer, those of its judges not among them."""

    input: int
    output: int
    total: int
    cached: int | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Of the input, what the provider took from its cache; left out when it does not say.",
    )


class Judging(BaseModel):
    """What the judges of one answer used. Null: unknown."""

    input: int | None
    output: int | None
    cost_usd: Decimal | None


class CheckOut(BaseModel):
    """What a check found. ``passed`` is null when it could not be judged; ``detail`` says why, or what it found."""

    name: str
    type: str
    passed: bool | None
    detail: str | None


class ResultText(BaseModel):
    """How one iteration of one model ended, whosever it is. ``response_time_ms`` of an error: of its last attempt."""

    model_config = ConfigDict(from_attributes=True)

    iteration_number: int
    case_number: int = Field(description="1 where there are no cases.")
    model: str
    response_text: str | None = Field(description="Of an error: what it had said by then; null: nothing.")
    tokens_used: TokensUsed | None
    cost_usd: Decimal | None = Field(description="Of the answer and its judges; null: unknown.")
    judging: Judging | None = Field(description="What judges took of it; null: nobody judged.")
    checks: list[CheckOut]
    response_time_ms: int | None
    first_token_ms: int | None
    finish_reason: str | None
    status: Literal["completed", "error"]
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime


class ResultOut(ResultText):
    """How one iteration of one model ended."""

    id: UUID
    execution_id: UUID
    job_id: UUID


class PendingText(BaseModel):
    """An iteration that has not ended, or is asked again, whosever it is."""

    iteration_number: int
    case_number: int
    model: str
    status: Literal["queued", "running"]
    characters: int = Field(description="Of the answer so far.")


class Pending(PendingText):
    """An iteration that has not ended, or is asked again: then ``results`` have how it ended before.

    ``error``: why its last attempt failed, when it is tried again.
    """

    job_id: UUID = Field(description="The job that asks: another than the first after a retry.")
    attempt: int
    progress: Progress | None
    error: JobError | None
    started_at: datetime | None


class ModelStatistics(BaseModel):
    """One model's results in numbers; latencies, tokens and cost are of those that answered."""

    model: str
    count: int
    completed: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    first_token_ms: float | None = Field(description="The median.")
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    agreement: float | None = Field(description="The share of its answers that are the same, to the letter.")
    pass_rate: float | None = Field(description="The share of its answers that passed every check; null: no checks.")
    checks: list["CheckTally"]


class CheckTally(BaseModel):
    """How many of a model's answers passed a check."""

    name: str
    passed: int
    of: int


class StatusOut(BaseModel):
    """An execution, its results so far in order, what has not ended, and the numbers."""

    execution_id: UUID
    prompt_id: UUID
    status: ExecutionStatus
    execution: ExecutionOut
    results: list[ResultOut]
    pending: list[Pending]
    statistics: list[ModelStatistics]


class PromptDetail(BaseModel):
    """A prompt with its executions, newest first: the latest 100."""

    prompt: PromptOut
    executions: list[ExecutionOut]


class HistoryItem(PromptOut):
    """A prompt in the history, with its latest execution."""

    execution: ExecutionOut | None
