"""``yeoul settings``: what is set, and where."""

import os
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource

from yeoul.commands.terminal import print_json, print_table
from yeoul.settings import Settings

HIDDEN = "(hidden)"


def show(settings: Settings, *, as_json: bool) -> None:
    """Prints every setting with its value, secrets hidden, and where it comes from."""
    sources = origins()
    rows = [
        {"name": variables(name, field)[0], "value": shown(getattr(settings, name)), "from": sources[name]}
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("setting", "value", "from"),
        [(row["name"], "" if row["value"] is None else _words(row["value"]), row["from"]) for row in rows],
        fold="value",
    )


def variables(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that set a field, the first found winning."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [f"YEOUL_{name}".upper()]


def origins() -> dict[str, str]:
    """Where each setting comes from: a variable of the environment, the file ``.env``, or its default."""
    environment = {name.upper() for name in os.environ}
    file = {name.upper() for name in DotEnvSettingsSource(Settings).env_vars}
    found = {}
    for name, field in Settings.model_fields.items():
        of_field = variables(name, field)
        in_environment = next((variable for variable in of_field if variable in environment), None)
        in_file = next((variable for variable in of_field if variable in file), None)
        if in_environment is not None:
            found[name] = "environment" if in_environment == of_field[0] else f"environment: {in_environment}"
        elif in_file is not None:
            found[name] = ".env" if in_file == of_field[0] else f".env: {in_file}"
        else:
            found[name] = "default"
    return found


def shown(value: object) -> Any:  # noqa: ANN401  (a setting, as JSON)
    """A setting's value without what is secret in it."""
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, str):
        return _without_password(value)
    if isinstance(value, list):
        return [shown(part) for part in value]
    if isinstance(value, dict):
        return {name: shown(part) for name, part in value.items()}
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _without_password(text: str) -> str:
    """An address without its password, wherever it stands in it."""
    if "://" not in text:
        return text
    place = urlsplit(text).netloc
    user, _, host = place.rpartition("@")
    if ":" in user:
        text = text.replace(place, f"{user.partition(':')[0]}:{HIDDEN}@{host}", 1)
    return re.sub(r"(?i)([?&]\w*(?:password|token|key|secret)=)[^&#]*", rf"\1{HIDDEN}", text)


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
