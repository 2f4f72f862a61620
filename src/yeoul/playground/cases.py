"""Variables in prompts, the cases that give them values, and tables of cases as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel

from yeoul.playground.errors import BadCases, BadTable

MOST_CASES = 200
MOST_COLUMNS = 50
MOST_BYTES = 1_000_000
LONGEST = 2_000_000
"""Characters of a text with its values."""

NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_NAME = re.compile(NAME)
_VARIABLE = re.compile(r"\{\{[ \t]*(" + NAME + r")[ \t]*\}\}")
_DELIMITERS = (",", ";", "\t")


class Table(BaseModel):
    """A file of cases: the names in its first row, and a case of each other one."""

    columns: list[str]
    cases: list[dict[str, str]]


def variables(*texts: str | None) -> list[str]:
    """The names in ``{{…}}``, each once, in the order of their first places."""
    return list(dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text or "")))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with values in the variables' places; what a value itself has in braces stays.

    Raises ``KeyError`` without a value, and ``BadCases`` when the text would be too long.
    """
    grown = sum(len(values[found[1]]) - len(found[0]) for found in _VARIABLE.finditer(text))
    if (length := len(text) + grown) > LONGEST:  # counted before it is made: a value may stand in many places
        raise BadCases(f"With its values the text has {length:,} characters; {LONGEST:,} is the most.")
    return _VARIABLE.sub(lambda found: values[found[1]], text)


def fit(wanted: Sequence[str], cases: Sequence[Mapping[str, str]] | None) -> None:
    """Checks that every case has a value for every variable of a prompt and its checks; it may have more.

    Raises ``BadCases``, with every case at fault.
    """
    if wanted and not cases:
        names = ", ".join(f"`{name}`" for name in wanted)
        raise BadCases(f"This prompt has variables, {names}: give `cases` with values for them, at least one.")
    if cases and not wanted:
        raise BadCases("This prompt has no {{variables}}, so all cases would ask the same: leave `cases` out.")
    errors = []
    for number, case in enumerate(cases or (), start=1):
        for name in (name for name in wanted if name not in case):
            has = ", ".join(f"`{other}`" for other in case) or "none"
            words = f"Case {number} has no value for `{name}`; it has: {has}."
            errors.append({"loc": ["body", "cases", number - 1, name], "message": words})
    if errors:
        raise BadCases(f"{errors[0]['message']} Every case needs a value for every variable.", errors=errors)


def parse(data: bytes) -> Table:
    """Reads a CSV file, separated by commas, semicolons or tabs. Empty rows are left out. Raises ``BadTable``."""
    if len(data) > MOST_BYTES:
        raise BadTable(f"The file has {len(data):,} bytes; {MOST_BYTES:,} is the most. Use fewer rows.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise BadTable(f"Row {row} is not UTF-8. Save the file as `CSV UTF-8` and send it again.") from None
    rows = _rows(text)
    if not rows:
        raise BadTable("The file is empty. Its first row names the variables, each other row is a case.")
    (_, columns), *others = rows
    columns = _named(columns)
    cases = [_case(row, columns, cells) for row, cells in others]
    if not cases:
        raise BadTable("There is no row below row 1, which names the variables. Add at least one.")
    return Table(columns=columns, cases=cases)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """The rows by the separator that fits best, each with its number, counted as spreadsheets count."""
    read = {delimiter: _read(text, delimiter) for delimiter in _DELIMITERS}

    def fits(delimiter: str) -> tuple[bool, int]:
        rows, fault = read[delimiter]
        lengths = [len(cells) for _, cells in rows] or [0]
        return fault is None and len(set(lengths)) == 1 and lengths[0] > 1, lengths[0]

    rows, fault = read[max(_DELIMITERS, key=fits)]
    if fault is not None:
        raise BadTable(fault)
    return rows


def _read(text: str, delimiter: str) -> tuple[list[tuple[int, list[str]]], str | None]:
    """The rows up to the first that cannot be read, and why that cannot be."""
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row = 0
    try:
        for row, cells in enumerate(reader, start=1):
            if not any(cell.strip() for cell in cells):
                continue
            if len(rows) > MOST_CASES:
                return rows, f"Row {row} is one too many: {MOST_CASES} rows below the names are the most."
            rows.append((row, cells))
    except csv.Error as error:
        if "field limit" in str(error):
            return rows, f"Row {row + 1} has a cell of more than {csv.field_size_limit():,} characters. Shorten it."
        return (
            rows,
            f"Row {row + 1} cannot be read: {error}. Put quotes around the whole cell, and double those inside.",
        )
    return rows, None


def _named(cells: Iterable[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    if len(columns) > MOST_COLUMNS:
        raise BadTable(f"Row 1 has {len(columns)} columns; {MOST_COLUMNS} are the most.")
    for number, name in enumerate(columns, start=1):
        if not _NAME.fullmatch(name):
            raise BadTable(
                f"Row 1, column {number}: `{name}` is no name of a variable. One has up to 64 letters of A to Z, "
                "digits and _, and begins with no digit."
            )
        if name in columns[: number - 1]:
            raise BadTable(f"Row 1, column {number}: there is a column `{name}` before it already. Rename one.")
    return columns


def _case(row: int, columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise BadTable(
            f"Row {row} has {len(cells)} cells, and row 1 names {len(columns)} columns. Put quotes around cells with "
            "separators in them."
        )
    if any("\0" in cell for cell in cells):
        raise BadTable(f"Row {row} has a NUL character in it. Save the file as CSV again.")
    return dict(zip(columns, cells, strict=True))
