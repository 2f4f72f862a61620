"""Runs benchmarks: `python -m benchmarks [queue|events|chunks|traces|neighbours|rot|start ...]`, all without a name.

Exits 1 when a target is missed.
"""

import argparse
import subprocess
import sys

NAMES = ("queue", "events", "chunks", "traces", "neighbours", "rot", "start")

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="|".join(NAMES))
names = parser.parse_args().names or NAMES
failed = [n for n in names if subprocess.run([sys.executable, "-m", f"benchmarks.{n}"], check=False).returncode]
print(f"\nTargets missed in: {', '.join(failed)}" if failed else "\nAll targets met.")
sys.exit(1 if failed else 0)
