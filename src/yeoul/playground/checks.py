"""What an answer is checked for: the kinds of checks, their names, and what they find."""

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, assert_never

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import from_json

from yeoul.core.base import json, patterns
from yeoul.core.base.json_schema import JsonSchema, faults
from yeoul.core.base.schema_steps import TooMuchWorkError
from yeoul.playground import cases
from yeoul.playground.judge import Judge, verdict

MOST_CHECKS = 20
_LONGEST_NAME = 200
_LONGEST_TEXT = 100_000
_LONGEST_DEFAULT = 60
_LONGEST_DETAIL = 500


def _a_pattern(pattern: str) -> str:
    patterns.compiled(pattern)
    return pattern


class _Check(BaseModel):
    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    name: str | None = Field(
        default=None, min_length=1, max_length=_LONGEST_NAME, description="Null: one made from the check."
    )


class TextCheck(_Check):
    """What the answer has in it, has not, or is, but for blanks around it. ``{{variables}}`` are filled in."""

    type: Literal["contains", "not_contains", "equals"]
    value: str = Field(min_length=1, max_length=_LONGEST_TEXT)
    ignore_case: bool = False


class RegexCheck(_Check):
    """A pattern, as in JavaScript, that must match somewhere in the answer. Without look-around and back-references."""

    type: Literal["regex"]
    pattern: Annotated[str, Field(min_length=1, max_length=patterns.LONGEST), AfterValidator(_a_pattern)]


class SchemaCheck(_Check):
    """A JSON Schema that the answer, which must be JSON, has to fit."""

    type: Literal["json_schema"]
    json_schema: JsonSchema = Field(alias="schema")


class LengthCheck(_Check):
    """The most characters that the answer may have."""

    type: Literal["max_length"]
    characters: int = Field(ge=1, le=10_000_000)


class JudgeCheck(_Check):
    """A model says whether the answer meets a rubric. ``{{variables}}`` in the rubric are filled in."""

    type: Literal["judge"]
    model: str = Field(min_length=1, max_length=200)
    rubric: str = Field(min_length=1, max_length=_LONGEST_TEXT)


Check = Annotated[TextCheck | RegexCheck | SchemaCheck | LengthCheck | JudgeCheck, Field(discriminator="type")]


def _named(checks: list[Check]) -> list[Check]:
    """The checks, each with a name of its own; two that were given the same one are refused."""
    taken: set[str] = set()
    for check in checks:
        if check.name is not None and check.name in taken:
            raise ValueError(f"two checks have the name {check.name!r}: give each a name of its own")
        taken |= set() if check.name is None else {check.name}
    named: list[Check] = []
    for check in checks:
        name, number = check.name or default_name(check), 1
        while check.name is None and name in taken:
            number += 1
            name = f"{default_name(check)} ({number})"
        taken.add(name)
        named.append(check.model_copy(update={"name": name}))
    return named


Checks = Annotated[list[Check], Field(max_length=MOST_CHECKS), AfterValidator(_named)]
"""Up to 20 checks, all with different names."""


class CheckResult(BaseModel):
    """What a check found. ``passed`` is null when it could not be judged."""

    name: str
    type: str
    passed: bool | None
    detail: str | None = Field(description="Why not; of a judge, its reason. Null: there is nothing to say.")


def default_name(check: Check) -> str:
    """A name that says what is checked, for a check that has none."""
    match check:
        case TextCheck():
            return f"{check.type.replace('_', ' ')} {_short(check.value, _LONGEST_DEFAULT)}"
        case RegexCheck():
            return f"matches {_short(check.pattern, _LONGEST_DEFAULT)}"
        case SchemaCheck():
            title = check.json_schema.get("title")
            return f"fits {_short(title, _LONGEST_DEFAULT)}" if isinstance(title, str) and title else "fits the schema"
        case LengthCheck():
            return f"at most {check.characters} characters"
        case JudgeCheck():
            return f"judge: {_short(check.rubric, _LONGEST_DEFAULT)}"
        case _:
            assert_never(check)


def variables(checks: Sequence[Check]) -> list[str]:
    """The variables that checks need values for."""
    texts = (
        check.value if isinstance(check, TextCheck) else check.rubric if isinstance(check, JudgeCheck) else None
        for check in checks
    )
    return cases.variables(*texts)


async def run(checks: Sequence[Check], text: str, values: Mapping[str, str], judge: Judge) -> list[CheckResult]:
    """What the checks find in an answer, in their order; the judges are asked side by side.

    ``values`` are the case's; ``judge`` asks a model. A ``ModelError`` of it is a result that could not be judged, and
    anything else it raises is raised.
    """
    text = json.clean_text(text)
    return await asyncio.gather(*(_one(check, text, values, judge) for check in checks))


async def _one(check: Check, text: str, values: Mapping[str, str], judge: Judge) -> CheckResult:
    try:
        passed, detail = await _found(check, text, values, judge)
    except KeyError as error:  # the prompt was executed with values for all: only a check of another origin lacks one
        passed, detail = None, f"The case has no value for `{error.args[0]}`."
    return CheckResult(
        name=check.name or default_name(check),
        type=check.type,
        passed=passed,
        detail=_short(detail, _LONGEST_DETAIL) if detail else None,
    )


async def _found(check: Check, text: str, values: Mapping[str, str], judge: Judge) -> tuple[bool | None, str]:
    match check:
        case TextCheck():
            return _compared(check, text, cases.fill(check.value, values))
        case RegexCheck():
            matches = patterns.compiled(check.pattern)(text)
            return matches, "" if matches else "Nothing in the answer matches."
        case SchemaCheck():
            return _fitted(check.json_schema, text)
        case LengthCheck():
            length = len(text)
            return length <= check.characters, "" if length <= check.characters else f"It has {length:,} characters."
        case JudgeCheck():
            said = await verdict(judge, check.model, cases.fill(check.rubric, values), text)
            return said.passed, said.reason
        case _:
            assert_never(check)


def _compared(check: TextCheck, text: str, value: str) -> tuple[bool, str]:
    # One letter can be written as one character or as several: Korean file names on a Mac are.
    given, wanted = unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", value)
    if check.ignore_case:
        given, wanted = given.casefold(), wanted.casefold()
    shown = _short(value, _LONGEST_DEFAULT)
    match check.type:
        case "contains":
            return wanted in given, "" if wanted in given else f"{shown} is not in the answer."
        case "not_contains":
            return wanted not in given, f"{shown} is in the answer." if wanted in given else ""
        case "equals":
            same = given.strip() == wanted.strip()
            return same, "" if same else f"It is not {shown}."


def _fitted(schema: dict[str, Any], text: str) -> tuple[bool | None, str]:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return False, f"The answer is no JSON: {error}."
    try:
        found = faults(schema, value)
    except TooMuchWorkError as error:
        return None, str(error)
    return not found, "; ".join(found)


def _short(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
