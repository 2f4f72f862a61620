"""Runs every benchmark: `python -m benchmarks`. Exits 1 when a target is missed."""

import subprocess
import sys

failed = [
    name
    for name in ("queue", "events", "chunks")
    if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
]
print(f"\nTargets missed in: {', '.join(failed)}" if failed else "\nAll targets met.")
sys.exit(1 if failed else 0)
