"""The playground as a product: prompts executed many times over many models, side by side."""

from pathlib import Path

from yeoul.playground import handlers, router, sockets, tables
from yeoul.playground.sharing.router import router as sharing
from yeoul.playground.versions.router import router as versions
from yeoul.product import Product

product = Product(
    name="playground",
    kinds=(handlers.iterate,),
    routers=(versions, router.router, sharing, sockets.router),
    tables=tables.metadata,
    migrations=Path(__file__).parent / "migrations",
)
