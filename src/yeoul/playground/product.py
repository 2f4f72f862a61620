"""The playground as a product: prompts executed many times over many models, side by side."""

from pathlib import Path

from yeoul.core.llm.images import BODY_BYTES
from yeoul.playground import handlers, router, sockets, tables
from yeoul.playground.sharing.router import router as sharing
from yeoul.playground.versions.router import router as versions
from yeoul.product import Product

TEXT_BYTES = 8_000_000
"""Two prompts of two million characters, cases, checks and a schema."""

product = Product(
    name="playground",
    kinds=(handlers.iterate,),
    routers=(versions, router.router, sharing, sockets.router),
    bodies={"/api/prompts/execute": BODY_BYTES + TEXT_BYTES},
    tables=tables.metadata,
    migrations=Path(__file__).parent / "migrations",
)
