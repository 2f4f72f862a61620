"""JSON that fits a simple schema, always the same for the same question.

=================  =====================================================================================================
``string``         the question, or as much of it as may be; the first of an ``enum`` that stands in the question
``integer``        the first number in the question that is allowed, else the least that is
``boolean``        true, unless the word FAIL stands in the question
``array``          one item, or as many as there must be
``object``         every property, those of ``$ref`` too; of ``anyOf``, ``oneOf``, ``allOf`` the first
=================  =====================================================================================================

Patterns, formats and conditions are beyond it.
"""

import re
from typing import Any

_DEEPEST = 20
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def fitting(schema: Any, question: str) -> Any:  # noqa: ANN401  (any JSON, both)
    """A value that fits the schema."""
    return _value(schema, schema, question, 0)


def _value(schema: Any, root: Any, question: str, depth: int) -> Any:  # noqa: ANN401, PLR0911  (the same; one per kind)
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    schema = _followed(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((one for one in schema["enum"] if str(one) in question), schema["enum"][0])
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "object":
            named = schema.get("properties", {})
            return {name: _value(one, root, question, depth + 1) for name, one in named.items()}
        case "array":
            count = max(schema.get("minItems", 1), 0 if "items" not in schema else 1)
            return [_value(schema.get("items", {}), root, question, depth + 1) for _ in range(count)]
        case "integer":
            return int(_number(schema, question, whole=True))
        case "number":
            return _number(schema, question, whole=False)
        case "boolean":
            return re.search(r"\bFAIL\b", question) is None
        case "null":
            return None
        case _:
            return question[: schema.get("maxLength", len(question))].ljust(schema.get("minLength", 0), ".")


def _followed(schema: dict[str, Any], root: Any) -> dict[str, Any]:  # noqa: ANN401  (the same)
    for _ in range(_DEEPEST):
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(ref := schema.get("$ref"), str):
            target = root
            for part in ref.split("/")[1:]:
                target = target.get(part.replace("~1", "/").replace("~0", "~"), {})
            schema = target
        elif choices:
            schema = {**schema, "anyOf": None, "oneOf": None, "allOf": None, **choices[0]}
        else:
            break
    return schema


def _number(schema: dict[str, Any], question: str, *, whole: bool) -> float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0 if "maximum" not in schema else None))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    low = -float("inf") if least is None else least + ("exclusiveMinimum" in schema and "minimum" not in schema)
    high = float("inf") if most is None else most - ("exclusiveMaximum" in schema and "maximum" not in schema)
    found = [float(one) for one in _NUMBER.findall(question)]
    allowed = (one for one in found if low <= one <= high and (not whole or one.is_integer()))
    return next(allowed, low if low > -float("inf") else min(high, 0))
