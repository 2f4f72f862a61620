"""Writes the pages of the reference that the code itself tells: settings and errors. `--check` only compares."""

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import yeoul
from yeoul.core.base.errors import known_errors, meaning
from yeoul.settings import Settings

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}


def variables(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that set a field, the first found winning."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [f"YEOUL_{name}".upper()]


def type_words(annotation: Any) -> str:  # noqa: ANN401  (any annotation)
    """What may be written: `text or unset`, `auto, human or json`."""
    words = (
        re.sub(r"(?:\w+\.)+(\w+)", r"\1", str(annotation)) if hasattr(annotation, "__args__") else annotation.__name__
    )
    if choices := re.fullmatch(r"Literal\[(.*)\]", words):
        return " · ".join(f"`{choice.strip(chr(39))}`" for choice in choices[1].split(", "))
    plain = {"str": "text", "SecretStr": "secret", "bool": "true · false", "int": "whole number", "float": "number"}
    plain |= {"Path": "path", "list[str]": "list", "None": "unset"}
    plain |= {"list[TrustedIssuer]": "JSON list", "list[OidcProvider]": "JSON list"}
    plain |= {"dict[str, ModelLimit]": "JSON object"}
    return " · ".join(plain.get(part, part) for part in words.split(" | "))


def default_words(field: FieldInfo) -> str:
    """The default as it would be written in the environment; one that a machine decides is not evaluated."""
    if field.default_factory is not None:
        return "empty" if field.default_factory in (list, dict) else "the system's place for it"
    if field.default is PydanticUndefined:
        return "**must be set**"
    if field.default is None:
        return "unset"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def limits(field: FieldInfo) -> str:
    """The bounds of a field's value."""
    return ", ".join(
        f"{sign} {getattr(rule, word)}"
        for rule in field.metadata
        for word, sign in LIMITS.items()
        if hasattr(rule, word)
    )


def sections() -> Iterator[tuple[str, list[str]]]:
    """The settings' names under the comments that head them in the class."""
    heading, names = "", list[str]()
    for line in inspect.getsource(Settings).splitlines():
        if comment := re.match(r"    # (.+)", line):
            if names:
                yield heading, names
            heading, names = comment[1], []
        elif (field := re.match(r"    (\w+):", line)) and field[1] in Settings.model_fields:
            names.append(field[1])
    yield heading, names


def settings_page() -> str:
    """Every setting, by section."""
    lines = [
        "# Settings",
        "",
        "<!-- Generated from yeoul.settings by `make fmt`: change the class, not this page. -->",
        "",
        "Yeoul reads its settings from the environment, then from a file `.env` in the folder it is started in. Where",
        "a setting names several variables, the first that is set counts; the later ones are those the vendor's own",
        "SDK reads. A list is written with commas.",
    ]
    for heading, names in sections():
        lines += ["", f"## {heading}", "", "| variable | what it does | value | default |", "|---|---|---|---|"]
        for name in names:
            field = Settings.model_fields[name]
            value = ", ".join(filter(None, (type_words(field.annotation), limits(field))))
            names_of = "<br>".join(f"`{variable}`" for variable in variables(name, field))
            lines.append(f"| {names_of} | {field.description} | {value} | {default_words(field)} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every code a problem document may carry."""
    for module in pkgutil.walk_packages(yeoul.__path__, "yeoul."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    rows = []
    for error in known_errors():
        again, when = "yes" if error.retryable else "", meaning(error).replace("|", "\\|")
        rows.append(f"| {error.status} | `{error.code}` | {error.title} | {again} | {when} |")
    return "\n".join(
        [
            "# Errors",
            "",
            "<!-- Generated from the error tree by `make fmt`: change the classes, not this page. -->",
            "",
            "Every error is a problem document (RFC 9457, `application/problem+json`): `type`, `title`, `status`,",
            "`detail`, `code`, `request_id`, and `errors` where single fields are to blame. Programs decide by `code`;",
            "`detail` is for people and says what to do next. *Again* tells that the same request may succeed later;",
            "`Retry-After` says when. `type` leads to a page of a running Yeoul that says the same, `/docs/errors`.",
            "",
            "| status | code | title | again | when |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Write the pages, or with ``--check`` say which are out of date; 1 when any is."""
    stale = 0
    for name, text in {"settings.md": settings_page(), "errors.md": errors_page()}.items():
        page = PAGES / name
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"docs/reference/{name} is not what the code says: run `make fmt` and commit it.")
            stale = 1
        else:
            PAGES.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
