"""The console's languages: which one a visitor reads, and the texts in it.

Texts are written in English where they are used; ``locale/*/LC_MESSAGES/messages.po`` holds the translations and is
read as it is, so that nothing has to be compiled. ``scripts/messages.py`` keeps the catalogues in step with the code.
Products bring catalogues of their own. A text that several translate has the console's translation, or the first one's.
"""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = {"ko": "한국어", "en": "English"}
"""Language tag → what its speakers call it."""
DEFAULT = "en"


@dataclass(frozen=True)
class Language:
    """One language: its texts for templates, and those that scripts need as ``{text: translation or plural forms}``."""

    tag: str
    translations: Translations
    script_strings: dict[str, str | list[str]]


def po_file(tag: str, locale: Path = LOCALE) -> Path:
    """Where a language's catalogue is."""
    return locale / tag / "LC_MESSAGES" / "messages.po"


def read_catalogue(tag: str, locale: Path = LOCALE) -> Catalog:
    """A language's catalogue as written."""
    with po_file(tag, locale).open("rb") as file:
        return read_po(file, locale=tag)


@cache
def language(tag: str, *products: Path) -> Language:
    """A language with the catalogues of products (their folders ``locale``), read once."""
    catalogue = read_catalogue(tag)
    for locale in products:
        if not po_file(tag, locale).exists():
            continue  # its texts are shown in English
        for message in read_catalogue(tag, locale):
            if message.id:
                catalogue.add(message.id, message.string, message.locations)  # a known one keeps its translation
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(tag, Translations(compiled), _script_strings(catalogue))


def negotiate(chosen: str | None, accepted: str) -> str:
    """The language to answer in: the one chosen before, else the best of an ``Accept-Language`` header we have."""
    if chosen in LANGUAGES:
        return chosen
    offers = []
    for offer in accepted.split(","):
        tag, _, parameters = offer.partition(";")
        offers.append((_quality(parameters), tag.strip().lower().split("-")[0]))
    wanted = [tag for quality, tag in sorted(offers, key=lambda offer: -offer[0]) if quality > 0 and tag in LANGUAGES]
    return wanted[0] if wanted else DEFAULT


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _script_strings(catalogue: Catalog) -> dict[str, str | list[str]]:
    strings: dict[str, str | list[str]] = {}
    for message in catalogue:
        if message.string and any(name.endswith(".js") for name, _ in message.locations):
            if isinstance(message.id, str):
                strings[message.id] = str(message.string)
            elif all(message.string):
                strings[message.id[0]] = list(message.string)
    return strings
