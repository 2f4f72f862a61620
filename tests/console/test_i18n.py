import re
import runpy
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from yeoul.console.i18n import LANGUAGES, LOCALE, language, negotiate, read_catalogue

SCRIPT = Path(__file__).parents[2] / "scripts" / "messages.py"
CATALOGUES = [LOCALE, *sorted(LOCALE.parents[1].glob("*/console/locale"))]
"""The console's and the products'."""


def _forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or [""])


def test_catalogues_hold_exactly_the_texts_of_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().out


@pytest.mark.parametrize("locale", CATALOGUES, ids=lambda locale: str(locale.parents[1].name))
def test_every_text_has_a_korean_translation(locale: Path) -> None:
    missing = [message.id for message in read_catalogue("ko", locale) if message.id and not all(_forms(message))]
    assert missing == []
    assert [message.id for message in read_catalogue("ko", locale) if message.fuzzy and message.id] == []


def test_a_text_has_one_translation() -> None:
    """Whoever says it: a page shows one catalogue made of all."""
    known: dict[str, tuple[list[str], Path]] = {}
    for locale in CATALOGUES:
        for message in read_catalogue("ko", locale):
            forms, first = known.setdefault(str(message.id), (_forms(message), locale))
            assert not message.id or _forms(message) == forms, f"{message.id} in {locale} and {first}"


@pytest.mark.parametrize("locale", CATALOGUES, ids=lambda locale: str(locale.parents[1].name))
def test_korean_is_korean(locale: Path) -> None:
    """A translation without a Hangul letter is an English one that was left."""
    left = [m.id for m in read_catalogue("ko", locale) if m.id and not re.search("[가-힣]", "".join(_forms(m)))]
    assert left == []


@pytest.mark.parametrize("locale", CATALOGUES, ids=lambda locale: str(locale.parents[1].name))
@pytest.mark.parametrize("tag", LANGUAGES)
def test_translations_keep_the_values_of_their_texts(tag: str, locale: Path) -> None:
    def values(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)s", text))

    for message in read_catalogue(tag, locale):
        text = message.id if isinstance(message.id, str) else message.id[-1]
        for form in filter(None, _forms(message)):
            assert not message.id or values(form) == values(text), message.id


def test_scripts_get_their_texts_and_no_others() -> None:
    strings = language("ko").script_strings
    assert strings["Try again"] == "다시 시도"
    assert strings["%(n)s piece"] == ["%(n)s조각"]
    assert "Skip to the content" not in strings
    assert language("en").script_strings == {}


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        (None, "", "en"),
        (None, "ko-KR,ko;q=0.9,en-US;q=0.8", "ko"),
        (None, "en-US,en;q=0.9,ko;q=0.8", "en"),
        (None, "fr-FR, ko;q=0.3, en;q=0.2", "ko"),
        (None, "ko;q=0, en;q=0.1", "en"),
        (None, "ko;q=x, de", "en"),
        (None, "*", "en"),
        ("ko", "en", "ko"),
        ("tlh", "ko", "ko"),
        ("../../etc", "", "en"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers_best(
    chosen: str | None, accepted: str, expected: str
) -> None:
    assert negotiate(chosen, accepted) == expected
