"""What ``yeoul doctor`` looks at outside the database."""

import difflib
import hashlib
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import httpx
from pydantic_settings import DotEnvSettingsSource

from yeoul import __version__
from yeoul.commands.settings import variables
from yeoul.commands.terminal import console
from yeoul.core.base.errors import YeoulError
from yeoul.core.http.hosts import allowed_hosts
from yeoul.core.llm import weights
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import DEFAULT_MODEL
from yeoul.settings import Settings

_MEGABYTE = 1_000_000
_LITTLE, _TOO_LITTLE = 2_000 * _MEGABYTE, 300 * _MEGABYTE
_OLDEST_PYTHON, _FIRST_UNTRIED = (3, 11), (3, 15)
_PRIVATE = ("secret.key", "postgres.password")


State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What one check found, and how to mend it."""

    name: str
    state: State
    found: str
    mend: str | None = None


def ok(name: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(name, "ok", found)


def warning(name: str, found: str, mend: str | None = None) -> Finding:
    """It works, but not as well as it might, or not for long."""
    return Finding(name, "warning", found, mend)


def problem(name: str, found: str, mend: str | None = None) -> Finding:
    """Something does not work."""
    return Finding(name, "problem", found, mend)


def python() -> Finding:
    """Whether this Python is one that Yeoul is tried with."""
    found = f"{platform.python_version()}, Yeoul {__version__} in {sys.prefix}"
    if sys.version_info < _OLDEST_PYTHON:
        return problem("python", found, "Install Python 3.11 or newer.")
    if sys.version_info >= _FIRST_UNTRIED:
        return warning("python", found, "Yeoul is tried with Python 3.11 to 3.14.")
    return ok("python", found)


def unknown_variables() -> Iterator[Finding]:
    """Variables that look like settings and are none: a typing mistake is silent otherwise."""
    known = {variable for name, field in Settings.model_fields.items() for variable in variables(name, field)}
    given = {name.upper() for name in os.environ} | {name.upper() for name in DotEnvSettingsSource(Settings).env_vars}
    for name in sorted(given - known):
        if name.startswith("YEOUL_"):
            close = difflib.get_close_matches(name, known, n=1)
            yield warning("settings", f"{name} is no setting", f"Did you mean {close[0]}?" if close else "Remove it.")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Whether the data folder can be written, and what is secret in it read by its owner alone."""
    folder = settings.data_dir
    place = _nearest(folder)
    mend = "Choose another with YEOUL_DATA_DIR, or let this user write to it."
    if not place.is_dir():
        yield problem("data folder", f"{folder}: {place} is no folder", mend)
    elif not os.access(place, os.W_OK | os.X_OK):
        yield problem("data folder", f"{folder} cannot be written", mend)
    else:
        yield ok("data folder", f"{folder}{'' if folder.exists() else ' (the first start makes it)'}")
    for name in _PRIVATE:
        path = folder / name
        if path.is_file() and path.stat().st_mode & 0o077:
            yield warning("data folder", f"others can read {path}", f"chmod 600 {path}")


def free_space(settings: Settings) -> Iterator[Finding]:
    """Whether there is room for the database to grow, and for weights."""
    for folder in dict.fromkeys((settings.data_dir, settings.weights_dir)):
        place = _nearest(folder)
        free = shutil.disk_usage(place).free
        found = f"{free / _MEGABYTE:,.0f} MB free in {place}"
        if free < _TOO_LITTLE:
            yield problem("free space", found, "Make room: a full disk stops the database.")
        elif free < _LITTLE:
            yield warning("free space", found, "Make room soon: a full disk stops the database.")
        elif folder == settings.data_dir:
            yield ok("free space", found)


def port(settings: Settings) -> Iterator[Finding]:
    """Whether the port is free, or ours."""
    where = f"{settings.host}:{settings.port}"
    try:
        with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        if (version := _yeoul_at(settings)) is not None:
            yield ok("port", f"{where}: Yeoul {version} answers there")
        else:
            yield problem("port", f"{where}: {error.strerror}", "Choose another with --port or YEOUL_PORT.")
    else:
        yield ok("port", f"{where} is free")


def models(settings: Settings) -> Iterator[Finding]:
    """Which providers can be asked, the local model's weights, and what ``default`` means."""
    vendors = [provider for provider in PROVIDERS.values() if provider.name not in {"local", "fake"}]
    usable = [provider.name for provider in vendors if provider.missing(settings) is None]
    lacking = [provider.name for provider in vendors if provider.name not in usable]
    yield ok("providers", f"set up: {', '.join(usable) or 'none'}; not set up: {', '.join(lacking) or 'none'}")
    catalogue = Catalogue(settings)
    try:
        default = catalogue.default()
    except YeoulError as error:
        yield problem("default model", error.detail)
        return
    local = default.startswith("local/")
    yield from _local_model(settings, needed=local)
    try:
        catalogue.route(DEFAULT_MODEL)
    except YeoulError as error:
        if not (local and _only_weights_are_missing(settings)):
            yield problem("default model", f"{default} cannot be asked", error.detail)
            return
    yield ok("default model", default)
    embeds = catalogue.default_embedding()
    try:
        yield ok("embeddings", catalogue.embedding_route(embeds).id)
    except YeoulError as error:
        if settings.default_embedding_model is not None:
            yield problem("embeddings", f"{embeds} cannot be asked", error.detail)
        else:
            yield ok("embeddings", f"none can be made: {error.detail}")


def names(settings: Settings) -> Iterator[Finding]:
    """Whether the server answers to any name at all."""
    if allowed_hosts(settings) is None and "*" not in settings.allowed_hosts:
        mend = "Set YEOUL_PUBLIC_URL, or YEOUL_ALLOWED_HOSTS to the names it has; `*` says that any will do."
        yield warning("names", f"it listens on {settings.host} and answers to any name", mend)


def _local_model(settings: Settings, *, needed: bool) -> Iterator[Finding]:
    if not settings.local_enabled:
        yield ok("local model", "switched off by YEOUL_LOCAL_ENABLED")
        return
    if settings.local_url:
        yield _shared_model(settings, settings.local_url)
        return
    if find_spec("xllamacpp") is None:
        found, mend = "the extra `local` is not installed", "pip install 'yeoul[local]'"
        yield problem("local model", found, mend) if needed else ok("local model", f"{found}; others are set up")
        return
    missing = weights.missing(settings.local_model, settings.weights_dir)
    known = weights.CATALOGUE.get(settings.local_model)
    path = weights.path(settings.local_model, settings.weights_dir)
    if missing is not None and known is not None and not path.exists():
        mend = f"`yeoul serve` gets them when it starts; or now: yeoul models pull {known.name}"
        found = f"the weights of {known.name} are not here"
        yield warning("local model", found, mend) if needed else ok("local model", f"{found}; others are set up")
    elif missing is not None:
        yield problem("local model", f"{path} is not whole", missing)
    elif known is not None and not _is_whole(path, known.sha256):
        yield problem("local model", f"{path} is not the file we know", f"rm {path} && yeoul models pull {known.name}")
    else:
        yield ok("local model", f"{settings.local_model}, {path}{', checked' if known else ''}")


def _shared_model(settings: Settings, url: str) -> Finding:
    key = {"Authorization": f"Bearer {settings.local_token}"}
    try:
        status = httpx.get(f"{url.rstrip('/')}/v1/models", headers=key, timeout=3).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        found = f"nobody answers at {url}: {type(error).__name__}"
        return problem("local model", found, "Start `yeoul llm` there, or correct YEOUL_LOCAL_URL.")
    if status != httpx.codes.OK:
        mend = "Both need the same YEOUL_LOCAL_KEY, or the same YEOUL_SECRET_KEY."
        return problem("local model", f"{url} answers with status {status}", mend)
    return ok("local model", f"at {url}")


def _only_weights_are_missing(settings: Settings) -> bool:
    installed = settings.local_enabled and find_spec("xllamacpp") is not None
    return installed and settings.local_model in weights.CATALOGUE


def _is_whole(path: Path, sha256: str) -> bool:
    with console().status("Checking the weights …"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _yeoul_at(settings: Settings) -> str | None:
    """The version of the Yeoul that answers at our address; None when something else does, or nobody."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  (asked, not bound)
    try:
        answer = httpx.get(f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health", timeout=3)
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return str(found["version"]) if isinstance(found, dict) and "version" in found else None
