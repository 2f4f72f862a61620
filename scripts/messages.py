"""Keeps the catalogues of the console and the products in step with their texts: writes them; ``--check`` only looks.

New texts get an empty translation, changed ones lose theirs, unused ones go. Then translate in ``messages.po``: the
tests fail while a Korean translation is missing. Other packages' products: name the folders of their pages.
"""

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po

from yeoul.console.i18n import LANGUAGES, LOCALE, po_file, read_catalogue

CONSOLE = LOCALE.parent
METHODS = [("templates/**.html", "jinja2.ext:babel_extract"), ("static/js/**.js", "javascript")]
OPTIONS = {
    "templates/**.html": {"trimmed": "true", "silent": "false"},
    "static/js/**.js": {"parse_template_string": "true"},
}
KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "gettext": None, "ngettext": (1, 2), "t": None, "tn": (1, 2)}
MENU: dict[str, tuple[int, ...] | None] = {"Menu": (1,)}
"""In the Python beside a product's folder: what its entries of the menu say."""


def folders(named: list[str]) -> list[Path]:
    """Where texts are: the console, the folder ``console`` of each product here, and those that are named."""
    own = [path for path in sorted(CONSOLE.parent.glob("*/console")) if (path / "templates").is_dir()]
    return [CONSOLE, *own, *map(Path, named)]


def _found(folder: Path) -> Iterator[tuple[str, str | tuple[str, ...], str | None]]:
    for file, _, message, _, context in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS):
        yield Path(file).as_posix(), message, context
    if folder != CONSOLE:
        for file, _, message, _, context in extract_from_dir(folder.parent, [("*.py", "python")], {}, MENU):
            yield f"../{Path(file).as_posix()}", message, context


def template(folder: Path) -> Catalog:
    """Every text of a folder and the files it is in."""
    texts = Catalog(project="Yeoul", charset="utf-8", fuzzy=False)
    for file, message, context in sorted(_found(folder), key=lambda entry: entry[0]):
        texts.add(message, None, [(file, 0)], context=context)
    for entry in texts:
        entry.locations = sorted({(name, 0) for name, _ in entry.locations})
    return texts


def written(tag: str, texts: Catalog, folder: Path) -> bytes:
    """A language's catalogue brought up to date, as its file should be; what the console says too is said as there."""
    locale = folder / "locale"
    old = read_catalogue(tag, locale) if po_file(tag, locale).exists() else Catalog(locale=tag)
    console = Catalog(locale=tag) if folder == CONSOLE else read_catalogue(tag)
    new = Catalog(locale=tag, project="Yeoul", charset="utf-8", fuzzy=False)
    for entry in texts:
        if not entry.id:
            continue
        name = entry.id if isinstance(entry.id, str) else entry.id[0]
        known = console.get(name) or old.get(name)
        new.add(entry.id, known.string if known is not None else None, entry.locations)
    file = BytesIO()
    write_po(file, new, width=120, omit_header=True, sort_output=False, include_lineno=False)
    facts = ("Content-Type: text/plain; charset=utf-8", f"Language: {tag}", f"Plural-Forms: {new.plural_forms}")
    head = 'msgid ""\nmsgstr ""\n' + "".join(f'"{fact}\\n"\n' for fact in facts)
    return f"{head}\n".encode() + file.getvalue()


def main() -> int:
    """Writes what differs; with ``--check`` says so instead. 1 when something differed."""
    only_look = "--check" in sys.argv[1:]
    stale = []
    for folder in folders([word for word in sys.argv[1:] if word != "--check"]):
        texts = template(folder)
        for tag in LANGUAGES:
            content, path = written(tag, texts, folder), po_file(tag, folder / "locale")
            if path.exists() and path.read_bytes() == content:
                continue
            stale.append(path)
            if not only_look:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    for path in stale:
        print(f"{path}: {'not up to date; run scripts/messages.py' if only_look else 'written'}")
    return 1 if stale and only_look else 0


if __name__ == "__main__":
    sys.exit(main())
