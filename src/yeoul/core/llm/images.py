"""Pictures in a question: which are taken, and whether they are what they say."""

import base64
import binascii
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

MOST_IMAGES = 4
MOST_BYTES = 5_000_000
BODY_BYTES = 28_000_000
"""A request's body with as many images of this size as may be, in base64, and some text."""

MediaType = Literal["image/png", "image/jpeg", "image/webp", "image/gif"]
MEDIA_TYPES: frozenset[str] = frozenset(get_args(MediaType))


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) > MOST_BYTES * 4 // 3 + 4:
        raise ValueError(f"an image may have {MOST_BYTES:,} bytes: make it smaller")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("this is no base64") from None


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


Base64 = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(_encoded, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class Image(BaseModel):
    """A picture: PNG, JPEG, WebP or GIF, of up to 5 MB. In JSON its bytes are base64."""

    model_config = ConfigDict(extra="forbid")

    media_type: MediaType
    data: Base64 = Field(min_length=1, max_length=MOST_BYTES, repr=False)

    @model_validator(mode="after")
    def _what_it_says(self) -> Self:
        found = sniff(self.data)
        if found != self.media_type:
            really = "no picture that can be read here: use PNG, JPEG, WebP or GIF" if found is None else found
            raise ValueError(f"it says it is {self.media_type}, but its bytes are {really}")
        return self


Images = Annotated[list[Image], Field(max_length=MOST_IMAGES)]


def sniff(data: bytes) -> MediaType | None:
    """What kind of picture some bytes are, by their beginning; null: none of ours."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None
