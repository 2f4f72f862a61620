"""Keeps files small and rooms shallow: no file over 600 lines, their median at most 120, two folders below a room."""

import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600
MEDIAN = 120
DEPTH = 2
SOURCES = {".py", ".html", ".css", ".js", ".sql", ".sh"}
FOLDERS = ("src", "tests", "scripts", "benchmarks")


def lines_of(folders: tuple[str, ...] = FOLDERS, root: Path = ROOT) -> dict[Path, int]:
    """How many lines each source file has, by its path from ``root``; empty files and others' code left out."""
    counts: dict[Path, int] = {}
    for folder in folders:
        for file in sorted((root / folder).rglob("*")):
            path = file.relative_to(root)
            if file.suffix in SOURCES and "vendor" not in path.parts and (count := file.read_bytes().count(b"\n")):
                counts[path] = count
    return counts


def problems(counts: dict[Path, int]) -> list[str]:
    """One sentence for each broken rule, with its remedy."""
    found = [
        f"{path}: {count} lines, at most {LONGEST}. Find the second thing it does and give that a module of its own."
        for path, count in counts.items()
        if count > LONGEST
    ]
    source = {path: count for path, count in counts.items() if path.parts[0] == "src" and path.suffix == ".py"}
    if source and (median := statistics.median(source.values())) > MEDIAN:
        longest = ", ".join(f"{path} ({count})" for path, count in sorted(source.items(), key=lambda p: -p[1])[:5])
        found.append(f"src: the median file has {median:g} lines, at most {MEDIAN}. Split the longest: {longest}.")
    for path in source:
        below = path.parts[2:-1]  # src/yeoul/<room>/… or src/yeoul/core/<room>/…
        room = 2 if below[:1] == ("core",) else 1
        if len(below) - room > DEPTH:
            found.append(f"{path}: {len(below) - room} folders below its room, at most {DEPTH}. Flatten it.")
    return found


def main() -> int:
    """Print every broken rule; 1 when there is one."""
    counts = lines_of()
    found = problems(counts)
    print("\n".join(found) or f"{len(counts)} files, the longest {max(counts.values())} lines")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
