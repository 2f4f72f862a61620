"""What products add to the console: pages, entries of the menu, templates, files, translations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import BaseLoader, FileSystemLoader, PrefixLoader

from yeoul.product import Page, Product


@dataclass(frozen=True)
class Entry:
    """An entry of the menu, and the product whose pages it stands for."""

    section: str
    address: str
    words: str
    icon: str | None
    key: str | None


@dataclass(frozen=True)
class Part:
    """What one product adds. Raises ``ValueError`` for a page whose template is not there."""

    name: str
    folder: Path
    pages: tuple[Page, ...]

    def __post_init__(self) -> None:
        for page in self.pages:
            if not page.path.startswith("/"):
                raise ValueError(f"product {self.name}: the path {page.path!r} of a page must begin with /")
            if page.menu is not None and "{" in page.path:
                raise ValueError(
                    f"product {self.name}: {page.path} is no single page, so no entry of the menu leads there"
                )
            if not (self.folder / "templates" / page.template).is_file():
                raise ValueError(f"product {self.name}: there is no {page.template} in {self.folder / 'templates'}")

    @property
    def entries(self) -> Iterator[Entry]:
        """Its entries of the menu."""
        for page in self.pages:
            if page.menu is not None:
                yield Entry(self.section(page), page.path, page.menu.words, page.menu.icon, page.menu.key)

    def section(self, page: Page) -> str:
        """The entry that is marked while a page is shown: its own, or the product's first."""
        first = next((one for one in self.pages if one.menu is not None), page)
        return f"{self.name}:{(page if page.menu is not None else first).path}"


class Parts:
    """What all products add."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.all = tuple(Part(one.name, one.console, one.pages) for one in products if one.console is not None)

    @property
    def entries(self) -> list[Entry]:
        """Their entries of the menu."""
        return [entry for part in self.all for entry in part.entries]

    @property
    def templates(self) -> BaseLoader:
        """Their templates, each below the name of its product: ``playground/page.html``."""
        return PrefixLoader({part.name: FileSystemLoader(part.folder / "templates") for part in self.all})

    @property
    def locales(self) -> tuple[Path, ...]:
        """Their translations."""
        return tuple(part.folder / "locale" for part in self.all)

    @property
    def static(self) -> dict[str, Path]:
        """Their files."""
        return {part.name: found for part in self.all if (found := part.folder / "static").is_dir()}

    @property
    def stylesheets(self) -> list[str]:
        """What ``static/css`` holds, as names of assets. Every page has them, so that going to another reads none."""
        return [
            f"products/{name}/{file.relative_to(folder).as_posix()}"
            for name, folder in self.static.items()
            for file in sorted((folder / "css").glob("*.css"))
        ]
