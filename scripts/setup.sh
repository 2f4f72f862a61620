#!/bin/sh
# Makes .venv and installs Yeoul into it: `setup.sh run` what it needs to run, `setup.sh dev` what its tests need too.
# Ends at once when nothing changed since the last time. Needs only Python and a package index.
set -eu
cd "$(dirname "$0")/.."

want=${1:-}
case $want in
    run) extras=local ;;
    dev) extras=dev,redis,rabbitmq,otel ;;
    *) echo "usage: scripts/setup.sh run | dev" >&2; exit 2 ;;
esac

# What an installation depends on, the folder included: a copied .venv works on the folder it was made for.
now=$({ pwd; cat pyproject.toml constraints.txt scripts/setup.sh; } | cksum)
made_for() { [ "$(cat ".venv/.yeoul-$1" 2>/dev/null)" = "$2" ]; }
usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }
if usable .venv/bin/python && { made_for dev "$now" || made_for "$want" "$now"; }; then exit 0; fi

say() { printf '▸ %s\n' "$*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

find_python() {
    lacking=
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
        usable "$name" || continue
        if "$name" -c 'import ensurepip, venv' 2>/dev/null; then echo "$name"; return; fi
        lacking=$name
    done
    [ -z "$lacking" ] || fail "$lacking cannot make virtual environments: its modules venv and ensurepip are missing." \
        "Debian, Ubuntu: apt install python3-venv. Or name another Python: make run PYTHON=/path/to/python3"
    fail "Yeoul needs Python 3.11, 3.12, 3.13 or 3.14, and none of them is on PATH." \
        "Debian, Ubuntu: apt install python3 python3-venv. macOS: brew install python@3.13." \
        "Or name one: make run PYTHON=/path/to/python3"
}

if ! usable .venv/bin/python || { [ -e .venv/.yeoul-folder ] && ! made_for folder "$(pwd)"; }; then
    python=$(find_python)
    say "Making .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
    pwd >.venv/.yeoul-folder
fi
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null

# uv takes 3 seconds where pip takes 30, and is used where it is installed. pip is the way that always works: it alone
# reads the pip configuration that names a company's index or certificate.
say "Installing Yeoul and what it needs: once, half a minute or so"
add() { "$@" --constraint constraints.txt --editable ".[$extras]"; }
if ! { command -v uv >/dev/null 2>&1 && add uv pip install --python .venv/bin/python; }; then
    add .venv/bin/python -m pip install --disable-pip-version-check --progress-bar on ||
        fail "The packages could not be installed; the lines above say why. Then run the same command again."
fi
printf '%s\n' "$now" >".venv/.yeoul-$want"
