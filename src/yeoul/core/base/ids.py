"""Identifiers: uuid7, so that ids sort by the time they were made."""

from uuid import UUID

from uuid_utils.compat import uuid7

_SHARED = 0xF << 124


def new_id() -> UUID:
    """A fresh uuid7."""
    return uuid7()


def new_shared_stream_id() -> UUID:
    """A fresh id for a shared stream: a uuid7 whose first hex digit is ``f``.

    The event log is partitioned by id. Job ids (uuid7) begin with the time they were made and fall into the
    partition of their day; shared streams live on, so theirs sort behind every day into a partition of their own.
    """
    return UUID(int=uuid7().int & ~_SHARED | _SHARED)
