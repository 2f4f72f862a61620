"""Keeps out of the repository what belongs to one machine: package indexes, paths, download addresses, merge marks.

A clone must install from whatever index its own machine is set up for, so no index is named here, not even in this
file: the ones to look for are read from pip's own settings.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI

ROOT = Path(__file__).resolve().parent.parent

RULES = [
    (
        re.compile(r"https?://\S+(?:/simple/?(?=[\s\"')\]]|$)|\.(?:whl|tgz|tar\.gz)\b)"),
        "the address of a package or an index: name the package, and let the machine's own index find it",
    ),
    (
        re.compile(r"(?<![\w./~-])/(?:home|Users|root|work)/[\w.-]+"),
        "a path of one machine: write it relative to the checkout, or with ~ or a setting",
    ),
    (re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE), "a merge mark: finish the merge"),
]


INDEX_VARIABLE = re.compile(r"(?i)(?:pip|uv|npm_config)_.*(?:index|registry|links)")


def tracked() -> Iterator[tuple[str, str]]:
    """Path and text of every file git would commit, or of every file here when this is no clone. No binary ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    paths = listed.stdout.split("\0") if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in unhidden(ROOT)]
    for path in filter(None, paths):
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def unhidden(folder: Path) -> Iterator[Path]:
    """Every file below a folder, hidden folders left out."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from unhidden(path)
        elif path.is_file():
            yield path


def index_hosts() -> set[str]:
    """Hosts of the package indexes this machine uses: pip's defaults, its configuration and its environment."""
    words = [PyPI.url, f"https://{PyPI.file_storage_domain}"]
    configuration = Configuration(isolated=False)
    configuration.load()
    words += [str(value) for section in configuration.items() for value in dict([section]).values()]
    words += [value for name, value in os.environ.items() if INDEX_VARIABLE.match(name)]
    hosts = {urlsplit(part).hostname for word in words for part in re.split(r"[\s'\"]+", word) if "://" in part}
    return {host for host in hosts if host and "." in host}


def main() -> int:
    """Print every finding; 1 when there is one."""
    index = "a package index: leave it to the machine's settings"
    place = "a path of this machine: write it relative to the checkout"
    rules = RULES + [(re.compile(re.escape(host)), index) for host in index_hosts()]
    rules += [(re.compile(re.escape(own) + r"\b"), place) for own in {str(ROOT), str(Path.home())} - {"/", "/root"}]
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()!r} is {remedy}"
        for path, text in tracked()
        for pattern, remedy in rules
        for match in pattern.finditer(text)
    ]
    print("\n".join(found) or "nothing of one machine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
