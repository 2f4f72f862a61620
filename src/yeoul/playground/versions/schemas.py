"""Versions of prompts, and what two of them differ in."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Describe

from yeoul.playground.schemas import PromptOut, StatusOut


class Version(PromptOut):
    """A version of a prompt, and how often it has been executed."""

    executions: int


class Line(BaseModel):
    """A line of a field, without its line feed."""

    op: Literal["same", "removed", "added"]
    text: str


class Field(BaseModel):
    """A field that differs, whole."""

    name: Literal["name", "system_prompt", "user_prompt", "parameters", "response_schema", "images"]
    lines: list[Line]


class Diff(BaseModel):
    """What became of one prompt in another: only the fields that differ."""

    model_config = ConfigDict(populate_by_name=True)

    before: UUID = Describe(alias="from", description="A prompt's id.")
    after: UUID = Describe(alias="to", description="Another's.")
    fields: list[Field]


class Comparison(BaseModel):
    """Two executions side by side, and what their prompts differ in."""

    left: StatusOut
    right: StatusOut
    diff: Diff
