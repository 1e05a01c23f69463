#!/bin/sh
# Builds the wheels of all distributions: `scripts/wheels.sh [FOLDER]`, default dist.
# Also writes constraints.txt: the locked version of each package that tests use.
# VENV is a virtual environment with `build` and setuptools; default .venv, created if needed.
set -eu
cd "$(dirname "$0")/.."
[ -n "${VENV:-}" ] || scripts/setup.sh
target=${1:-dist}
python=${VENV:-.venv}/bin/python

# setuptools includes stale files of its build folder in the wheel, so build from a clean copy.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files --cached --others --exclude-standard -z \
    -- setup.cfg pyproject.toml README.md LICENSE host migrations plugins contrib |
    xargs -0 tar -cf - | tar -xf - -C "$work"

mkdir -p "$target"
rm -f "$target"/rolehost*.whl
for folder in "$work" "$work"/plugins/*/ "$work"/contrib/*/; do
    [ -f "$folder/setup.cfg" ] || continue
    "$python" -m build --quiet --wheel --no-isolation --outdir "$target" "$folder" >&2
done
sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\( ;[^\\]*\)\{0,1\}\).*/\1/p' scripts/requirements/test.txt >"$target/constraints.txt"
ls "$target"
