"""What two prompts differ in, field by field and line by line."""

import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from yeoul.playground.prompts import CONTENT
from yeoul.playground.tables import Prompt
from yeoul.playground.versions.schemas import Field, Line

MOST_LINES = 2000
"""Longer stretches that differ are shown as removed and added whole: to match their lines would take minutes."""


def fields(before: Prompt, after: Prompt) -> list[Field]:
    """The fields that differ, each with all its lines."""
    return [
        Field(name=name, lines=lines(_lines(getattr(before, name)), _lines(getattr(after, name))))
        for name in CONTENT
        if getattr(before, name) != getattr(after, name)
    ]


def lines(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    """The lines of both in one order: those before are the same and removed ones, those after the same and added."""
    begin = _same(before, after)
    end = _same(before[begin:][::-1], after[begin:][::-1])
    middle = _changed(before[begin : len(before) - end], after[begin : len(after) - end])
    tail = before[len(before) - end :]
    return [*_all("same", before[:begin]), *middle, *_all("same", tail)]


def _changed(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    if len(before) + len(after) > MOST_LINES:
        return _all("removed", before) + _all("added", after)
    found: list[Line] = []
    for op, i1, i2, j1, j2 in SequenceMatcher(None, before, after).get_opcodes():
        if op == "equal":
            found += _all("same", before[i1:i2])
        else:
            found += _all("removed", before[i1:i2]) + _all("added", after[j1:j2])
    return found


def _all(op: Any, texts: Sequence[str]) -> list[Line]:  # noqa: ANN401  (one of Line's words)
    return [Line(op=op, text=text) for text in texts]


def _same(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines both begin with."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        count += 1
    return count


def _lines(value: Any) -> list[str]:  # noqa: ANN401  (a field of a prompt)
    """A field as lines. Split at line feeds alone, so that nothing of a text is lost."""
    if value is None:
        return []
    if isinstance(value, str):
        return value.split("\n")
    if isinstance(value, list):  # images
        return [f"{one['media_type']}, {one['bytes']:,} bytes, SHA-256 {one['sha256']}" for one in value]
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).split("\n")
