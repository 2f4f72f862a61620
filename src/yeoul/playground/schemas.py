"""What clients send and get. Names are those of the tables."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from yeoul.core.jobs.schemas import JobError, Progress
from yeoul.core.llm.schemas import DEFAULT_MODEL, Parameters, Text

MOST_ITERATIONS = 50
MOST_MODELS = 8

ExecutionStatus = Literal["started", "running", "completed", "partial", "failed", "canceled"]
"""``partial``: some answered, some failed. ``canceled``: some were canceled, what the others gave is kept."""

ENDED: frozenset[str] = frozenset({"completed", "partial", "failed", "canceled"})

ModelId = Annotated[str, Field(min_length=1, max_length=200)]


def _each_once(models: list[str]) -> list[str]:
    return list(dict.fromkeys(models))


class Execute(BaseModel):
    """A prompt, and how often to ask which models. ``models`` asks several, side by side, in place of one."""

    model_config = ConfigDict(extra="forbid")

    system_prompt: Text | None = None
    user_prompt: Annotated[Text, Field(min_length=1)]
    selected_model: ModelId = DEFAULT_MODEL
    models: Annotated[list[ModelId], AfterValidator(_each_once)] | None = Field(
        default=None, min_length=1, max_length=MOST_MODELS, description="Up to 8, instead of `selected_model` alone."
    )
    parameters: Annotated[Parameters, BeforeValidator(lambda value: {} if value is None else value)] = Field(
        default_factory=Parameters
    )
    iterations: int = Field(default=1, ge=1, le=MOST_ITERATIONS, description="How often each model is asked.")
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ITERATIONS * MOST_MODELS,
        description="At most so many at a time; null: as many as the workers have room for.",
    )
    stream: bool = Field(default=True, description="False: answers arrive whole, without chunks.")


class Started(BaseModel):
    """An execution that has begun."""

    execution_id: UUID
    prompt_id: UUID
    status: Literal["started"] = "started"


class IterationInput(BaseModel):
    """The input of a job ``playground.iteration``: which one it is. The prompt is read when it runs."""

    model_config = ConfigDict(extra="forbid")

    execution_id: UUID
    iteration_number: int
    model: str
    stream: bool


class PromptOut(BaseModel):
    """A prompt."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    system_prompt: str | None
    user_prompt: str
    parameters: dict[str, Any]
    selected_model: str
    created_at: datetime
    updated_at: datetime


class ExecutionOut(BaseModel):
    """An execution. Times are UTC."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    prompt_id: UUID
    iterations: int
    models: list[str]
    concurrency: int | None
    stream: bool
    status: ExecutionStatus
    cancel_requested: bool
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TokensUsed(BaseModel):
    """Tokens of one answer."""

    input: int
    output: int
    total: int


class ResultOut(BaseModel):
    """How one iteration of one model ended. ``response_time_ms`` of an error: of its last attempt."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    execution_id: UUID
    iteration_number: int
    model: str
    job_id: UUID
    response_text: str | None
    tokens_used: TokensUsed | None
    cost_usd: Decimal | None
    response_time_ms: int | None
    first_token_ms: int | None
    finish_reason: str | None
    status: Literal["completed", "error"]
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime


class Pending(BaseModel):
    """An iteration that has not ended. ``error``: why its last attempt failed, when it is tried again."""

    job_id: UUID
    iteration_number: int
    model: str
    status: Literal["queued", "running"]
    attempt: int
    characters: int = Field(description="Of the answer so far.")
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
