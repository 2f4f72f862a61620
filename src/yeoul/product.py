"""What a product is: rooms plugged into the core.

A package offers one by an entry point of the group ``yeoul.products`` that names a ``Product``. The core knows
nothing of products; the composition roots (``app``, ``worker``) and the schema ask for them here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from fastapi import APIRouter
from sqlalchemy import MetaData

from yeoul.core.db.migrate import History
from yeoul.core.jobs.kinds import Kind

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class Product:
    """A product's name, the kinds of jobs it runs, the routes it serves, and its tables.

    ``bodies``: paths whose requests may be larger than others', in bytes. ``tables`` imports the modules of its mapped
    classes; ``migrations`` is the folder of its own line of revisions (``0001_….py``, run after the core's). Its tables
    begin with its name. Raises ``ValueError`` for a bad name.
    """

    name: str
    kinds: tuple[Kind, ...] = ()
    routers: tuple[APIRouter, ...] = field(default=())
    bodies: Mapping[str, int] = field(default_factory=dict)
    tables: Callable[[], MetaData] | None = None
    migrations: Path | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == "core":
            raise ValueError(f"{self.name!r} is no product's name: lower-case letters, digits and _, 31 at most")

    @property
    def history(self) -> History | None:
        """Its line of revisions."""
        return None if self.migrations is None else History(self.name, self.migrations)


@cache
def installed() -> tuple[Product, ...]:
    """The products of every installed package, by name. Raises ``TypeError`` for an entry point that is none."""
    products = []
    for entry in entry_points(group="yeoul.products"):
        product = entry.load()
        if not isinstance(product, Product):
            raise TypeError(f"entry point {entry.value!r} of group yeoul.products must be a yeoul.product.Product")
        products.append(product)
    return tuple(sorted(products, key=lambda product: product.name))
