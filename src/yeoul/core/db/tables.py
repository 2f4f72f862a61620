"""The base of every mapped class. A room's ``tables.py`` maps its own tables; the migrations make them."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

SCHEMA = "yeoul"


class Base(DeclarativeBase):
    """Mapped classes of the schema ``yeoul``: ``str`` is text, ``dict`` jsonb, ``datetime`` timestamptz."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        UUID: Uuid(as_uuid=True),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
    }
