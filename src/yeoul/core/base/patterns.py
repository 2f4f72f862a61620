"""Regular expressions of clients': in JavaScript's dialect, by Rust's engine, whose time is linear in the text.

Linear is not enough where a few characters can mean a program of megabytes, ``(?:x{0,300}){0,300}``: so the compiled
size has a limit too.
"""

from collections.abc import Callable

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST = 1000
OPTIONS = RegexOptions(size_limit=300_000)
"""Also for patterns inside a JSON Schema."""


def compiled(pattern: str) -> Callable[[str], bool]:
    """Whether a text has something in it that the pattern matches. Raises ``ValueError`` with the engine's words."""
    try:
        return Draft202012Validator({"pattern": pattern}, pattern_options=OPTIONS, offline=True).is_valid
    except ValidationError:
        raise ValueError(fault(pattern)) from None


def fault(pattern: str) -> str:
    """Why the engine does not take a pattern."""
    try:  # pydantic's engine is the same, and says more
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        lines = str(error).splitlines()
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if "size limit" not in said:
            return f"`{pattern}` is no pattern: {said.removeprefix('error: ')}"
    return f"`{pattern}` is too large for a pattern: repeat less, or fewer times."
