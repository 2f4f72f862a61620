import time
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from yeoul.core.base import json_schema, patterns
from yeoul.core.base.schema_steps import TooMuchWorkError

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    twice = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": twice | {f"a{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objct"}, "`type`: "),
        ({"properties": {"age": {"minimum": "0"}}}, "`properties.age.minimum`: "),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, "`properties.a.pattern`: `(?=a)` is no pattern: look-around"),
        ({"$ref": "#/$defs/nowhere"}, "does not exist"),
        ({"enum": ["x" * 70_000]}, "65,536 is the most"),
        (nested(5000), "nested too deep"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="JSON Schema") as refused:
        json_schema.checked(schema)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["$ref", "$schema"])
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_nothing_is_fetched(name: str, scheme: str, tmp_path: Path) -> None:
    found = tmp_path / "schema.json"
    found.write_text('{"type": "string"}')
    address = f"file://{found}" if scheme == "file" else "http://127.0.0.1:9/schema.json"
    with pytest.raises(ValueError, match=r"Retrieval is disabled|must be registered"):
        json_schema.checked({name: address})


def test_faults_say_where_and_at_most_three() -> None:
    assert json_schema.faults(PERSON, {"name": "Mina", "age": 3}) == []
    assert json_schema.faults(PERSON, {"name": 5, "age": -1}) == [
        '`name`: 5 is not of type "string"',
        "`age`: -1 is less than the minimum of 0",
    ]
    numbers = {"type": "array", "items": {"type": "integer"}}
    assert len(json_schema.faults(numbers, ["a", "b", "c", "d"])) == 3


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(40), 1),
        ({"$ref": "#"}, 1),
        ({"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 3}, from_json('{"a":' * 12 + "1" + "}" * 12)),
        ({"$defs": {"a": {"$id": "http://a/", "$ref": "#/b", "b": {"type": "string"}}}, "$ref": "#/$defs/a"}, 1),
        ({"$anchor": "top", "properties": {"a": {"$ref": "#top"}}}, {"a": 1}),
        ({"items": {"anyOf": [{"type": "string"}] * 20}}, list(range(10_000))),
    ],
)
def test_what_could_take_years_is_not_begun(schema: dict[str, Any], value: Any) -> None:
    json_schema.checked(schema)
    began = time.monotonic()
    with pytest.raises(TooMuchWorkError):
        json_schema.faults(schema, value)
    assert time.monotonic() - began < 10


def test_schemas_that_refer_to_themselves_work() -> None:
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["name"],
    }
    assert json_schema.faults(tree, {"name": "a", "parts": [{"name": "b", "parts": [{"name": "c"}]}]}) == []
    assert json_schema.faults(tree, {"name": "a", "parts": [{"parts": []}]}) == [
        '`parts.0`: "name" is a required property'
    ]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", "`(a` is no pattern: unclosed group"),
        (r"(a)\1", "backreferences are not supported"),
        ("(?:x{0,300}){0,300}[yz]", "too large for a pattern"),
    ],
)
def test_patterns_that_the_engine_does_not_take_are_refused_in_its_words(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match="pattern") as refused:
        patterns.compiled(pattern)
    assert words in str(refused.value)


def test_patterns_find_anywhere_and_in_no_time() -> None:
    assert patterns.compiled(r"\d{4}-\d{2}")("on 2026-11-21")
    assert not patterns.compiled(r"^\d+$")("12 ")
    assert patterns.compiled("여울")("여기 여울이 있다")
    began = time.monotonic()
    assert not patterns.compiled("(a+)+$")("a" * 100_000 + "b")  # years, in Python's own engine
    assert time.monotonic() - began < 5
