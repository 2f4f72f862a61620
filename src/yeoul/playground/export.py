"""Results as a file: JSON, JSON lines or CSV, read and sent some at a time: any number takes the same memory."""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal
from uuid import UUID

from yeoul.core.base import json
from yeoul.core.runtime.services import Services
from yeoul.playground import repository
from yeoul.playground.errors import PromptNotFound
from yeoul.playground.schemas import PromptOut, ResultOut

Format = Literal["json", "csv", "jsonl"]

AT_A_TIME = 100
BOM = "\ufeff"
"""At the start of a file, it tells Excel that the rest is UTF-8."""

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}
COLUMNS = (
    "execution_id", "iteration_number", "model", "status", "response_text", "input_tokens", "output_tokens",
    "total_tokens", "cost_usd", "response_time_ms", "first_token_ms", "finish_reason", "error_code", "error_message",
    "job_id", "created_at",
)  # fmt: skip

# Cells that begin with one of these are formulas to a spreadsheet, also in their full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


async def export(services: Services, user_id: UUID, either: UUID, form: Format, *, bom: bool) -> AsyncGenerator[str]:
    """The text of a file of the results of an execution, or of all of a prompt's. Raises ``PromptNotFound``.

    No transaction is open while the client reads: results that come meanwhile may be in it or not.
    """
    async with services.database.as_user(user_id) as session:
        found = await repository.prompt(session, either)
        prompt = found or await repository.prompt_of(session, either)
        if prompt is None:
            raise PromptNotFound
        shown = PromptOut.model_validate(prompt)
        ids = [either] if found is None else await repository.execution_ids(session, prompt.id)
    head, rows, tail = _FORMS[form](shown)
    yield (BOM if bom and form == "csv" else "") + head
    first = True
    async for results in _batches(services, user_id, ids):
        yield rows(results, first)
        first = False
    yield tail


async def _batches(services: Services, user_id: UUID, ids: Sequence[UUID]) -> AsyncGenerator[list[ResultOut]]:
    for execution_id in ids:
        after: tuple[int, str] | None = None
        while True:
            async with services.database.as_user(user_id) as session:
                rows = await repository.results_after(session, execution_id, after, AT_A_TIME)
                results = [ResultOut.model_validate(row) for row in rows]
            if results:
                yield results
                after = results[-1].iteration_number, results[-1].model
            if len(results) < AT_A_TIME:
                break


_Rows = Callable[[list[ResultOut], bool], str]


def _json(prompt: PromptOut) -> tuple[str, _Rows, str]:
    def rows(results: list[ResultOut], first: bool) -> str:  # noqa: FBT001  (one of two callers' places)
        return ("" if first else ",\n") + ",\n".join(map(json.dumps, results))

    return f'{{"prompt": {json.dumps(prompt)},\n"results": [\n', rows, "\n]}\n"


def _jsonl(_: PromptOut) -> tuple[str, _Rows, str]:
    return "", lambda results, _: "".join(json.dumps(one) + "\n" for one in results), ""


def _csv(_: PromptOut) -> tuple[str, _Rows, str]:
    def rows(results: list[ResultOut], _: bool) -> str:  # noqa: FBT001  (the same)
        return _lines([_row(one) for one in results])

    return _lines([COLUMNS]), rows, ""


_FORMS = {"json": _json, "jsonl": _jsonl, "csv": _csv}


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _row(result: ResultOut) -> list[Any]:
    tokens = result.tokens_used.model_dump() if result.tokens_used is not None else {}
    values = result.model_dump(mode="json") | {f"{name}_tokens": count for name, count in tokens.items()}
    return [_cell(values.get(name)) for name in COLUMNS]


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: what looks like one gets an apostrophe before it."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value
