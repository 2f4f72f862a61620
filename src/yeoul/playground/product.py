"""The playground as a product: prompts executed many times over many models, side by side."""

from pathlib import Path

from yeoul.core.llm.images import BODY_BYTES
from yeoul.playground import handlers, router, sockets, tables
from yeoul.playground.sharing.router import router as sharing
from yeoul.playground.versions.router import router as versions
from yeoul.product import Menu, Page, Product

HERE = Path(__file__).parent
COLUMNS = "M3.5 4.5h3.6v11H3.5zM8.2 4.5h3.6v11H8.2zM12.9 4.5h3.6v11h-3.6z"

TEXT_BYTES = 8_000_000
"""Two prompts of two million characters, cases, checks and a schema."""

product = Product(
    name="playground",
    kinds=(handlers.iterate,),
    routers=(versions, router.router, sharing, sockets.router),
    bodies={"/api/prompts/execute": BODY_BYTES + TEXT_BYTES},
    tables=tables.metadata,
    migrations=HERE / "migrations",
    pages=(
        Page("/playground", "playground.html", menu=Menu("Playground", icon=COLUMNS, key="p")),
        Page("/playground/{id}", "playground.html"),
        Page("/playground/{id}/beside/{other}", "compare.html"),
        Page("/shared/{id}", "shared.html", public=True),
    ),
    console=HERE / "console",
)
