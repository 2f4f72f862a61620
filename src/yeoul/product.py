"""What a product is: rooms plugged into the core.

A package offers one by an entry point of the group ``yeoul.products`` that names a ``Product``. The core knows
nothing of products; the composition roots (``app``, ``worker``) ask for them here.
"""

from dataclasses import dataclass, field
from importlib.metadata import entry_points

from fastapi import APIRouter

from yeoul.core.jobs.kinds import Kind


@dataclass(frozen=True)
class Product:
    """A product's name, the kinds of jobs it runs, and the routes it serves."""

    name: str
    kinds: tuple[Kind, ...] = ()
    routers: tuple[APIRouter, ...] = field(default=())


def installed() -> list[Product]:
    """The products of every installed package, by name. Raises ``TypeError`` for an entry point that is none."""
    products = []
    for entry in entry_points(group="yeoul.products"):
        product = entry.load()
        if not isinstance(product, Product):
            raise TypeError(f"entry point {entry.value!r} of group yeoul.products must be a yeoul.product.Product")
        products.append(product)
    return sorted(products, key=lambda product: product.name)
