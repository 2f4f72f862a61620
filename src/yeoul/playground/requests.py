"""What clients ask of the playground, and the most they may ask at once."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from yeoul.core.base import json
from yeoul.core.base.json_schema import JsonSchema
from yeoul.core.llm.images import Images
from yeoul.core.llm.schemas import DEFAULT_MODEL, Parameters, Text
from yeoul.playground.cases import MOST_CASES, NAME
from yeoul.playground.checks import Check, Checks

MOST_ITERATIONS = 50
MOST_MODELS = 8
MOST_JOBS = 1000
"""Models times iterations times cases of one execution: its jobs, inserted in one request and followed in one stream.
Beside it stands ``max_queued_per_user``, what a user may have waiting of all kinds together."""
MOST_CASES_BYTES = 1_048_576
LONGEST_TIMEOUT = 1800

ModelId = Annotated[str, Field(min_length=1, max_length=200)]
CHECKS: TypeAdapter[list[Check]] = TypeAdapter(Checks)
"""Reads checks as they are kept."""

Case = dict[Annotated[str, Field(pattern=f"^{NAME}$")], str]
"""What each variable is: data, which is never read for variables again."""


def _each_once(models: list[str]) -> list[str]:
    return list(dict.fromkeys(models))


def _small_cases(cases: list[dict[str, str]]) -> list[dict[str, str]]:
    if (size := len(json.dumps(cases).encode())) > MOST_CASES_BYTES:
        raise ValueError(f"the cases have {size:,} bytes together; {MOST_CASES_BYTES:,} is the most")
    return cases


class Execute(BaseModel):
    """A prompt, and how often to ask which models with which cases. ``models`` asks several, side by side, not one."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Left out with `version_of`: as that one is called."
    )
    version_of: UUID | None = Field(
        default=None,
        description="A prompt's id: this is the next version of it, or, where nothing of it differs, that one again.",
    )
    system_prompt: Text | None = None
    user_prompt: Annotated[Text, Field(min_length=1)]
    selected_model: ModelId = DEFAULT_MODEL
    models: Annotated[list[ModelId], AfterValidator(_each_once)] | None = Field(
        default=None, min_length=1, max_length=MOST_MODELS, description="Up to 8, instead of `selected_model` alone."
    )
    parameters: Annotated[Parameters, BeforeValidator(lambda value: {} if value is None else value)] = Field(
        default_factory=Parameters
    )
    response_schema: JsonSchema | None = Field(
        default=None, description="A JSON Schema: answers are JSON of that form."
    )
    images: Images = Field(default_factory=list, description="Shown with `user_prompt`.")
    iterations: int = Field(default=1, ge=1, le=MOST_ITERATIONS, description="How often each model is asked each case.")
    cases: Annotated[list[Case], AfterValidator(_small_cases)] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_CASES,
        description="Values for the `{{variables}}` of the prompts; each case is asked by itself.",
    )
    checks: Checks = Field(default_factory=list, description="What every answer is checked for.")
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=MOST_JOBS,
        description="At most so many at a time; null: as many as the workers have room for.",
    )
    timeout_seconds: int | None = Field(
        default=None, ge=1, le=LONGEST_TIMEOUT, description="Longest an answer may take; it is not asked for again."
    )
    max_cost_usd: Decimal | None = Field(
        default=None, gt=0, le=1_000_000, description="Once results have cost so much, no further iteration begins."
    )
    stream: bool = Field(default=True, description="False: answers arrive whole, without chunks.")


class IterationInput(BaseModel):
    """The input of a job ``playground.iteration``: which one it is. The prompt is read when it runs."""

    model_config = ConfigDict(extra="forbid")

    execution_id: UUID
    iteration_number: int
    case_number: int
    model: str
    stream: bool
