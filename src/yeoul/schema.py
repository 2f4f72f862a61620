"""The whole schema as mapped classes: importing this module has imported every room's and every product's tables."""

from sqlalchemy import MetaData

from yeoul.core.auth import tables as _auth
from yeoul.core.db.tables import Base
from yeoul.core.events import tables as _events
from yeoul.core.jobs import tables as _jobs
from yeoul.core.llm import tables as _llm
from yeoul.core.schedules import tables as _schedules
from yeoul.core.vault import tables as _vault
from yeoul.product import installed

__all__ = ["METADATA"]

METADATA: MetaData = Base.metadata
_ROOMS = (_auth, _events, _jobs, _llm, _schedules, _vault)

for _product in installed():
    if _product.tables is not None:
        _product.tables()
METADATA.info["histories"] = tuple(product.history for product in installed() if product.history is not None)
