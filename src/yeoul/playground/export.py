"""Results as a file: JSON, JSON lines or CSV, read and sent some at a time: any number takes the same memory."""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.runtime.services import Services
from yeoul.playground import repository, service
from yeoul.playground.checks import variables as variables_of
from yeoul.playground.requests import CHECKS
from yeoul.playground.schemas import PromptOut, ResultOut
from yeoul.playground.tables import Execution

Format = Literal["json", "csv", "jsonl"]

AT_A_TIME = 100
CHECKS_AT_A_TIME = 5
"""Executions whose checks are read together: each may have 2 MB of them."""
BOM = "\ufeff"
"""At the start of a file, it tells Excel that the rest is UTF-8."""

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}
COLUMNS = (
    "execution_id", "iteration_number", "case_number", "model", "status", "response_text", "input_tokens",
    "output_tokens", "total_tokens", "cached_tokens", "cost_usd", "judging_cost_usd", "response_time_ms",
    "first_token_ms", "finish_reason", "error_code", "error_message", "job_id", "created_at",
)  # fmt: skip
"""Then one for each variable of the prompt and its checks, ``{{name}}``; and two for each check: verdict, why."""

_VERDICTS = {True: "passed", False: "failed", None: "not judged"}

# Cells that begin with one of these are formulas to a spreadsheet, also in their full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class _Row:
    """A result, and its case where its execution has any."""

    result: ResultOut
    case: dict[str, str] | None

    @property
    def shown(self) -> dict[str, Any]:
        values = self.result.model_dump(mode="json")
        return values if self.case is None else values | {"case": self.case}


@dataclass(frozen=True)
class _What:
    """What is exported: results of a prompt. Variables and checks, by their names, are for CSV alone."""

    prompt: PromptOut
    variables: list[str]
    checks: list[str]


async def export(services: Services, user_id: UUID, either: UUID, form: Format, *, bom: bool) -> AsyncGenerator[str]:
    """The text of a file of the results of an execution, or of all of a prompt's. Raises ``PromptNotFound``.

    No transaction is open while the client reads: results that come meanwhile may be in it or not.
    """
    async with services.database.as_user(user_id) as session:
        prompt = await service.prompt(session, either)
        variables, checks = await _columns(session, either) if form == "csv" else ([], [])
        what = _What(PromptOut.model_validate(prompt), [*prompt.variables, *variables], checks)
    head, rows, tail = _FORMS[form](what)
    yield (BOM if bom and form == "csv" else "") + head
    first = True
    async for batch in _batches(services, user_id, either):
        yield rows(batch, first)
        first = False
    yield tail


async def _columns(session: AsyncSession, either: UUID) -> tuple[list[str], list[str]]:
    """The variables of all executions' checks and the checks' names, each once: of what they check no more is kept."""
    names: dict[str, None] = {}
    variables: dict[str, None] = {}
    after: UUID | None = None
    while some := await repository.executions_after(session, either, after, CHECKS_AT_A_TIME, Execution.checks):
        for one in some:
            checks = CHECKS.validate_python(one.checks)
            names |= dict.fromkeys(str(check.name) for check in checks)
            variables |= dict.fromkeys(variables_of(checks))
        after = some[-1].id
    return list(variables), list(names)


async def _executions(services: Services, user_id: UUID, either: UUID) -> AsyncGenerator[Row[Any]]:
    after: UUID | None = None
    while True:
        async with services.database.as_user(user_id) as session:
            some = await repository.executions_after(session, either, after, AT_A_TIME, Execution.case_count)
        for one in some:
            yield one
        if len(some) < AT_A_TIME:
            return
        after = some[-1].id


async def _batches(services: Services, user_id: UUID, either: UUID) -> AsyncGenerator[list[_Row]]:
    async for execution in _executions(services, user_id, either):
        after: tuple[int, int, str] | None = None
        while True:
            async with services.database.as_user(user_id) as session:
                found = await repository.results_after(session, execution.id, after, AT_A_TIME)
                results = [ResultOut.model_validate(row) for row in found]
                numbers = {one.case_number for one in results} if execution.case_count else set()
                cases = await repository.cases_by_number(session, execution.id, numbers)
            if results:
                yield [_Row(one, cases.get(one.case_number)) for one in results]
                after = results[-1].iteration_number, results[-1].case_number, results[-1].model
            if len(results) < AT_A_TIME:
                break


_Rows = Callable[[list[_Row], bool], str]


def _json(what: _What) -> tuple[str, _Rows, str]:
    def rows(batch: list[_Row], first: bool) -> str:  # noqa: FBT001  (one of two callers' places)
        return ("" if first else ",\n") + ",\n".join(json.dumps(one.shown) for one in batch)

    return f'{{"prompt": {json.dumps(what.prompt)},\n"results": [\n', rows, "\n]}\n"


def _jsonl(_: _What) -> tuple[str, _Rows, str]:
    return "", lambda batch, _: "".join(json.dumps(one.shown) + "\n" for one in batch), ""


def _csv(what: _What) -> tuple[str, _Rows, str]:
    variables = list(dict.fromkeys(what.variables))
    head = [*COLUMNS, *(f"{{{{{name}}}}}" for name in variables)]
    head += [f"{part}: {name}" for name in what.checks for part in ("check", "detail")]

    def rows(batch: list[_Row], _: bool) -> str:  # noqa: FBT001  (the same)
        return _lines([_cells(one, variables, what.checks) for one in batch])

    return _lines([[_cell(name) for name in head]]), rows, ""


_FORMS = {"json": _json, "jsonl": _jsonl, "csv": _csv}


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)  # some split what has no quotes at `;` and tabs too
    return text.getvalue()


def _cells(row: _Row, variables: Sequence[str], checks: Sequence[str]) -> list[Any]:
    result = row.result
    tokens = result.tokens_used.model_dump() if result.tokens_used is not None else {}
    values = result.model_dump(mode="json") | {f"{name}_tokens": count for name, count in tokens.items()}
    values["judging_cost_usd"] = None if result.judging is None else values["judging"]["cost_usd"]
    cells = [values.get(name) for name in COLUMNS]
    cells += [(row.case or {}).get(name) for name in variables]
    found = {check.name: check for check in result.checks}
    for name in checks:
        check = found.get(name)
        cells += [None, None] if check is None else [_VERDICTS[check.passed], check.detail]
    return [_cell(cell) for cell in cells]


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: what looks like one gets an apostrophe before it."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value
