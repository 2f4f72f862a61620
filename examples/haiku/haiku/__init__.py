from pathlib import Path

from pydantic import BaseModel, Field

from yeoul.core.llm.schemas import CompletionRequest
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.product import Menu, Page, Product


class Wish(BaseModel):
    about: str = Field(min_length=1, max_length=200)


class Haiku(BaseModel):
    lines: list[str]


@handler("haiku.write")
async def write(ctx: Context, wish: Wish) -> Haiku:
    asked = CompletionRequest.ask(f"Write a haiku about {wish.about}.", system="Three lines, and nothing else.")
    return Haiku(lines=(await ctx.complete(asked)).text.strip().splitlines())


page = Page("/haiku", "haiku.html", menu=Menu("Haiku", key="h"))
product = Product("haiku", kinds=(write,), pages=(page,), console=Path(__file__).parent / "console")
