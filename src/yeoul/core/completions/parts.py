"""The parts of a message in clients' dialects, and the form they want an answer in."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from yeoul.core.base import json_schema
from yeoul.core.completions.errors import InvalidParameter, UnsupportedParameter, refuse
from yeoul.core.llm.images import MEDIA_TYPES, Image

_NAME_SAID = ("name", "strict", "description")


def text(content: object, at: str, types: Sequence[str], skipped: Sequence[str] = ()) -> str:
    """The text of a message's content: a string, or parts that are all text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidParameter(at, "give a text, or a list of parts")
    said = []
    for n, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in skipped or (isinstance(kind, str) and "data-*" in skipped and kind.startswith("data-")):
            continue
        if kind not in types:
            raise UnsupportedParameter(f"{at}[{n}]", f"Parts are of the type {' or '.join(types)}.")
        if not isinstance(part.get("text"), str):
            raise InvalidParameter(f"{at}[{n}].text", "give a text")
        said.append(part["text"])
    return "".join(said)


def without_images(content: object, at: str, found: list[dict[str, str]] | None) -> object:
    """The content without its images, which are put into ``found``; null: this message may have none."""
    if not isinstance(content, list):
        return content
    rest = []
    for n, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in {"image_url", "input_image"}:
            rest.append(part)
            continue
        where = f"{at}[{n}]"
        if found is None:
            raise UnsupportedParameter(where, "Images can be in the last message of the user alone.")
        refuse(part, {"type", "image_url"}, {"detail": ("auto",)}, at=f"{where}.")
        url = part.get("image_url")
        if isinstance(url, dict):
            refuse(url, {"url"}, {"detail": ("auto",)}, at=f"{where}.image_url.")
            url = url.get("url")
        found.append(_image(url, f"{where}.image_url"))
    return rest


def _image(url: object, at: str) -> dict[str, str]:
    if not isinstance(url, str) or not url.startswith("data:"):
        raise InvalidParameter(at, "give the image itself, as a `data:image/…;base64,…` URL: nothing is fetched here")
    media_type, _, data = url.removeprefix("data:").partition(";base64,")
    if media_type not in MEDIA_TYPES or not data:
        raise InvalidParameter(at, f"give a `data:` URL in base64 of the type {', '.join(sorted(MEDIA_TYPES))}")
    image = {"media_type": media_type, "data": data}
    try:
        Image.model_validate(image)
    except ValidationError as error:
        raise InvalidParameter(at, error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return image


def form(given: Mapping[str, Any] | None, at: str, *, nested: bool) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The JSON Schema that a client wants the answer to fit, if any, and what it says of it beside.

    ``nested``: the schema stands in a member ``json_schema``, as in chat completions.
    """
    kind = (given or {}).get("type", "text")
    if given is None or kind == "text":
        return None, {}
    if kind != "json_schema":
        raise UnsupportedParameter(f"{at}.type", "It may be `json_schema` or `text`; a schema says which JSON it is.")
    holder = given.get("json_schema") if nested else given
    where = f"{at}.json_schema" if nested else at
    if not isinstance(holder, Mapping):
        raise InvalidParameter(where, "give `name` and `schema`")
    refuse(holder, {"schema", *_NAME_SAID} | (set() if nested else {"type"}), at=f"{where}.")
    schema = holder.get("schema")
    if not isinstance(schema, dict):
        raise InvalidParameter(f"{where}.schema", "give a JSON Schema, an object")
    try:
        json_schema.checked(schema)
    except ValueError as error:
        raise InvalidParameter(f"{where}.schema", str(error)) from None
    return schema, {name: holder[name] for name in _NAME_SAID if holder.get(name) is not None}
