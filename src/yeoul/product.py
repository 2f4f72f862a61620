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
class Menu:
    """An entry of the console's menu.

    ``words`` are English; the product's catalogues translate them. ``icon`` is the ``d`` of an SVG path, drawn as a
    line on a grid of 20 by 20; ``key`` the letter that, after G, leads there.
    """

    words: str
    icon: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of the console: where it is, and the template that shows it.

    Names in braces in ``path`` (``/ponds/{id}``) stand for ids (UUIDs) and are in the template's ``parameters``;
    anything else there is not found. Who is not signed in is sent to do so first, unless the page is ``public``.
    """

    path: str
    template: str
    menu: Menu | None = None
    public: bool = False


@dataclass(frozen=True)
class Product:
    """A product's name, the kinds of jobs it runs, the routes it serves, its tables, and its pages.

    ``bodies``: paths whose requests may be larger than others', in bytes. ``tables`` imports the modules of its mapped
    classes; ``migrations`` is the folder of its own line of revisions (``0001_….py``, run after the core's). Its tables
    begin with its name. ``console`` is the folder of what its pages are made of: ``templates``, ``static`` and
    ``locale``. Raises ``ValueError`` for a bad name, or pages without it.
    """

    name: str
    kinds: tuple[Kind, ...] = ()
    routers: tuple[APIRouter, ...] = field(default=())
    bodies: Mapping[str, int] = field(default_factory=dict)
    tables: Callable[[], MetaData] | None = None
    migrations: Path | None = None
    pages: tuple[Page, ...] = ()
    console: Path | None = None

    def __post_init__(self) -> None:
        if self.pages and self.console is None:
            raise ValueError(f"product {self.name}: its pages need the folder `console` with their templates")
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
