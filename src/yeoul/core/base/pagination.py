"""Cursor pagination: ``{"items": […], "next_cursor": "…" | null}``, newest first."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from annotated_types import Ge, Le
from pydantic import BaseModel

from yeoul.core.base.errors import InvalidInput

Item = TypeVar("Item")

Limit = Annotated[int, Ge(1), Le(100)]
"""How many items a page holds: 1 to 100."""


class Page(BaseModel, Generic[Item]):
    """One page of a list. ``next_cursor`` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


def encode_cursor(last: UUID) -> str:
    """An opaque cursor that continues after ``last``."""
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str | None) -> UUID | None:
    """The id a cursor continues after; raises ``InvalidInput`` for one we never gave out."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        raise InvalidInput("This cursor is not one we gave out; start again without it.") from None


def page(rows: Sequence[Item], limit: int, ids: Sequence[UUID]) -> Page[Item]:
    """A page out of ``limit + 1`` rows read: the row too many says that there is a next page."""
    more = len(rows) > limit
    return Page(items=list(rows[:limit]), next_cursor=encode_cursor(ids[limit - 1]) if more else None)
