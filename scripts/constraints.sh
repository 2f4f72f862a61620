#!/bin/sh
# Writes constraints.txt anew: one version of every package, for every Python and system we support.
# No address stands in it: where packages come from is each installation's own business.
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null 2>&1 || { echo "make constraints needs uv: pip install uv" >&2; exit 1; }
{
    echo "# The versions Yeoul is tested with; pip install -c constraints.txt …; made by: make constraints"
    uv pip compile pyproject.toml --universal --all-extras --python-version 3.11 --upgrade --quiet \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links
} >constraints.txt.new
mv constraints.txt.new constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) packages"
