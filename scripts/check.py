"""Runs every gate, says which hold, and shows what those that fail have to say. `make gates`."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def gates(scratch: str) -> dict[str, tuple[Sequence[str | Path], str]]:
    """Name of each gate: its command, and what to do when it fails. The slow ones first."""
    python = sys.executable
    return {
        "types": ((BIN / "mypy",), "mypy's words name the line; `Any` and `# type: ignore` need a reason beside them"),
        "docs": (
            (BIN / "mkdocs", "build", "--strict", "--quiet", "--site-dir", scratch),
            "mend the link or page it names, then `make docs`",
        ),
        "layers": (
            (BIN / "lint-imports", "--no-logo"),
            "who may import whom stands in pyproject.toml, [tool.importlinter], with a way out for each rule",
        ),
        "reference": ((python, "scripts/reference.py", "--check"), "`make fmt` writes the generated pages anew"),
        "translations": ((python, "scripts/messages.py", "--check"), "`make fmt`, then translate what is empty"),
        "dependencies": (
            (BIN / "deptry", "src", "--no-ansi"),
            "name what is imported in pyproject.toml, drop what is not, then `make constraints`",
        ),
        "lint": ((BIN / "ruff", "check"), "`make fmt` mends most; the rest needs a hand, or `# noqa: CODE  (why)`"),
        "format": ((BIN / "ruff", "format", "--check"), "`make fmt`"),
        "sizes": ((python, "scripts/check_sizes.py"), "its message says how"),
        "text": ((python, "scripts/check_text.py"), "its message says how"),
    }


def run(command: Sequence[str | Path]) -> tuple[int, str, float]:
    """The exit status of a command, what it printed, and its seconds."""
    start = time.monotonic()
    # A gate sees a pipe, so it is told whether a person reads. mkdocs-material otherwise advertises its successor.
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "FORCE_COLOR" if sys.stdout.isatty() else "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.strip(), time.monotonic() - start


def main() -> int:
    """Run all gates side by side; 1 when any fails."""
    failed = 0
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        all_gates = gates(scratch)
        running = {pool.submit(run, command): name for name, (command, _) in all_gates.items()}
        for future in as_completed(running):
            name = running[future]
            status, output, seconds = future.result()
            print(f"{'✗' if status else '✓'} {name:<13}{seconds:5.1f} s", flush=True)
            if status:
                failed += 1
                print(f"{output}\n  → {all_gates[name][1]}\n", flush=True)
    if failed:
        print(f"{failed} of {len(all_gates)} gates failed.")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
