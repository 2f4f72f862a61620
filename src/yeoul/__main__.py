"""``python -m yeoul``: the command where its script is not on PATH."""

from yeoul.cli import main

main()
