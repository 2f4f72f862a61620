"""JSON Schemas of clients': whether one is valid, and whether a value fits one. Nothing is ever fetched."""

from itertools import islice
from typing import Annotated, Any

from jsonschema_rs import ValidationError, Validator, validator_for
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from yeoul.core.base import json, patterns, schema_steps

MOST_BYTES = 64 * 1024
_MOST_FAULTS = 3
_LONGEST_FAULT = 300


def compiled(schema: dict[str, Any]) -> Validator:
    """A schema made ready. Raises ``ValueError``: why it is none, and where."""
    try:
        _small(schema)
        return validator_for(json.clean(schema), offline=True, pattern_options=patterns.OPTIONS)
    except ValidationError as error:
        is_pattern = error.kind.name == "format" and error.kind.as_dict().get("format") == "regex"
        words = patterns.fault(str(error.instance)) if is_pattern else error.message
        raise ValueError(f"This is no valid JSON Schema: {_at(error)}{_short(words)}") from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, RecursionError) or str(error) == "Recursion limit reached":
            raise ValueError("This JSON Schema is nested too deep.") from None
        raise


def checked(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as PostgreSQL takes it; raises ``ValueError`` as ``compiled`` does."""
    compiled(schema)
    cleaned: dict[str, Any] = json.clean(schema)
    return cleaned


JsonSchema = Annotated[dict[str, Any], AfterValidator(checked)]
"""A field that holds a valid JSON Schema of up to 64 KB, of the draft its ``$schema`` names, else 2020-12."""


def _parsed(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


KeptJsonSchema = Annotated[
    JsonSchema,
    BeforeValidator(_parsed),
    PlainSerializer(json.dumps, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["object", "string"], "description": "A JSON Schema, or its text."}),
]
"""The same, as text where it is kept: models answer in the order of its properties, which ``jsonb`` forgets."""


def faults(schema: dict[str, Any], value: Any) -> list[str]:  # noqa: ANN401  (anything JSON can say)
    """Why a value does not fit a valid schema, up to three reasons; none: it fits.

    Raises ``TooMuchWorkError`` when it could take too long to find out.
    """
    schema_steps.bound(schema, value)
    return [_at(error) + _short(error.message) for error in islice(compiled(schema).iter_errors(value), _MOST_FAULTS)]


def _small(schema: dict[str, Any]) -> None:
    size = len(json.dumps(schema).encode())
    if size > MOST_BYTES:
        raise ValueError(f"This JSON Schema has {size:,} bytes; {MOST_BYTES:,} is the most.")


def _at(error: ValidationError) -> str:
    return f"`{'.'.join(map(str, error.instance_path))}`: " if error.instance_path else ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_FAULT else text[: _LONGEST_FAULT - 1] + "…"
