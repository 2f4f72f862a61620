"""The whole schema as mapped classes: importing this module has imported every room's tables."""

from sqlalchemy import MetaData

from yeoul.core.auth import tables as _auth
from yeoul.core.db.tables import Base
from yeoul.core.events import tables as _events
from yeoul.core.jobs import tables as _jobs
from yeoul.core.schedules import tables as _schedules

__all__ = ["METADATA"]

METADATA: MetaData = Base.metadata
_ROOMS = (_auth, _events, _jobs, _schedules)
