"""How long `yeoul serve` takes until it is ready, the first time and later, and what idle processes have in memory.

    python -m benchmarks.start    # BENCH_ROUNDS=3

Each round has a data folder of its own, with the embedded PostgreSQL; no model is loaded. Ready is what `/ready` calls
so. Memory is the process's own (RSS), without the PostgreSQL that it has started.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path

import httpx
import psutil

from benchmarks.common import ADDRESS, ROUNDS, folder, heard, median, table, yeoul

IDLE_SECONDS = 5
"""After that long nothing is left to be loaded."""
_POLL_SECONDS = 0.01


def to_ready(path: Path) -> float:
    """Seconds from the command to a server that can do its work."""
    with httpx.Client() as client:
        began = time.perf_counter()
        with yeoul(path, "serve", "--port", "0") as child:
            url = heard(child, ADDRESS)
            while client.get(f"{url}/ready").status_code != httpx.codes.OK:
                time.sleep(_POLL_SECONDS)
            return time.perf_counter() - began


def at_rest(path: Path, *words: str) -> float:
    """Megabytes of a process that does nothing."""
    with yeoul(path, *words) as child:
        heard(child, r"ready(:)")
        time.sleep(IDLE_SECONDS)
        return float(psutil.Process(child.pid).memory_info().rss) / 1e6


def main() -> bool:
    """Prints medians; there is nothing to be met."""
    starts: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        with folder() as path:
            for which in ("first", "second"):
                starts[which].append(to_ready(path))
            for words in (("serve", "--port", "0"), ("api", "--port", "0"), ("worker",)):
                memory[words[0]].append(at_rest(path, *words))
    table(
        f"Start: `yeoul serve` until it is ready, s ({ROUNDS} rounds)",
        ["start", "median", "longest"],
        [[which, median(took), max(took)] for which, took in starts.items()],
    )
    table(
        "Size: idle processes, MB of RSS",
        ["process", "median", "largest"],
        [[f"yeoul {name}", round(median(sizes)), round(max(sizes))] for name, sizes in memory.items()],
    )
    return True


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
