"""How much work it is at most to find out whether a value fits a JSON Schema.

``$ref`` and ``anyOf`` together can double it at every level of a schema, or of a value: some lines of schema would keep
a process busy for years, and a validator cannot be stopped. So the steps are counted first.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

MOST_STEPS = 100_000
"""About a second at worst, in which nothing else of the process runs."""

# Where a keyword's schemas are tried: on the value itself, or on what is in it.
_SAME = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_SAME_BY_NAME = ("dependentSchemas", "dependencies")
_OF_ITEMS = ("items", "prefixItems", "additionalItems", "contains", "unevaluatedItems")
_OF_NAMES = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_MOVES = ("$id", "id")
"""Gives the references below it another meaning."""
_DYNAMIC = ("$dynamicRef", "$recursiveRef")


class TooMuchWorkError(ValueError):
    """Whether a value fits a schema could take too long to find out, or cannot be said beforehand."""


def bound(root: dict[str, Any], value: Any) -> None:  # noqa: ANN401  (anything JSON can say)
    """Raises ``TooMuchWorkError`` when a validator may take more than ``MOST_STEPS``."""
    left = MOST_STEPS
    waiting: list[tuple[Any, Any]] = [(root, value)]
    while waiting:
        schema, inside = waiting.pop()
        if not isinstance(schema, dict):
            continue
        odd = _DYNAMIC if schema is root else (*_DYNAMIC, *_MOVES)
        if any(isinstance(schema.get(name), str) for name in odd):
            raise TooMuchWorkError(
                "A JSON Schema cannot have an `$id` inside, nor dynamic references, to be tried here."
            )
        # What is left unevaluated is found by evaluating the rest once more.
        twice = any(name.startswith("unevaluated") for name in schema)
        same = [(one, inside) for one in _same(root, schema)]
        for pair in chain(same, same if twice else (), _below(schema, inside)):
            left -= 1
            if left < 0:
                raise TooMuchWorkError("Whether this fits the JSON Schema could take too long to find out.")
            waiting.append(pair)


def _same(root: dict[str, Any], schema: dict[str, Any]) -> Iterator[Any]:
    for name in _SAME:
        yield from _several(schema.get(name))
    for name in _SAME_BY_NAME:
        yield from _by_name(schema.get(name)).values()
    if isinstance(ref := schema.get("$ref"), str):
        yield _target(root, ref)


def _below(schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401  (the same)
    if isinstance(value, list):
        applied = [one for name in _OF_ITEMS for one in _several(schema.get(name))]
        yield from ((one, item) for item in value for one in applied)
    elif isinstance(value, dict):
        named = _by_name(schema.get("properties"))
        applied = [one for name in _OF_NAMES for one in _several(schema.get(name))]
        applied += _by_name(schema.get("patternProperties")).values()
        for name, item in value.items():
            yield from ((one, item) for one in applied)
            if name in named:
                yield named[name], item


def _several(found: object) -> list[Any]:
    return found if isinstance(found, list) else [] if found is None else [found]


def _by_name(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _target(root: dict[str, Any], ref: str) -> Any:  # noqa: ANN401  (the same)
    place: Any = root if ref == "#" or ref.startswith("#/") else None
    for part in ref.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list):
            place = place[int(name)] if name.isdecimal() and int(name) < len(place) else None
        else:
            place = _by_name(place).get(name)
    if place is None:
        raise TooMuchWorkError(f"A JSON Schema's `$ref` can be `#` or `#/…` alone to be tried here, not `{ref}`.")
    return place
