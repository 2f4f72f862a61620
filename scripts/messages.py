"""Keeps the console's catalogues in step with its texts: writes them, or with ``--check`` only looks.

New texts get an empty translation, changed ones lose theirs, unused ones go. Then translate in ``messages.po``: the
tests fail while a Korean translation is missing.
"""

import sys
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


def template() -> Catalog:
    """Every text of the console and the files it is in."""
    texts = Catalog(project="Yeoul", charset="utf-8", fuzzy=False)
    found = extract_from_dir(CONSOLE, METHODS, OPTIONS, KEYWORDS)
    for file, _, message, _, context in sorted(found, key=lambda entry: (entry[0], entry[1])):
        texts.add(message, None, [(Path(file).as_posix(), 0)], context=context)
    for entry in texts:
        entry.locations = sorted({(name, 0) for name, _ in entry.locations})
    return texts


def written(tag: str, texts: Catalog) -> bytes:
    """A language's catalogue brought up to date, as its file should be."""
    old = read_catalogue(tag) if po_file(tag).exists() else Catalog(locale=tag)
    new = Catalog(locale=tag, project="Yeoul", charset="utf-8", fuzzy=False)
    for entry in texts:
        if not entry.id:
            continue
        known = old.get(entry.id if isinstance(entry.id, str) else entry.id[0])
        new.add(entry.id, known.string if known is not None else None, entry.locations)
    file = BytesIO()
    write_po(file, new, width=120, omit_header=True, sort_output=False, include_lineno=False)
    facts = ("Content-Type: text/plain; charset=utf-8", f"Language: {tag}", f"Plural-Forms: {new.plural_forms}")
    head = 'msgid ""\nmsgstr ""\n' + "".join(f'"{fact}\\n"\n' for fact in facts)
    return f"{head}\n".encode() + file.getvalue()


def main() -> int:
    """Writes what differs; with ``--check`` says so instead. 1 when something differed."""
    only_look = "--check" in sys.argv[1:]
    texts, stale = template(), []
    for tag in LANGUAGES:
        content, path = written(tag, texts), po_file(tag)
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
