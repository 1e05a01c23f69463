#!/bin/sh
# Makes .venv and installs the host, every plugin and every application into it, editable.
#
#   scripts/setup.sh              everything that development and tests need
#   scripts/setup.sh --runtime    only what running needs; what scripts/run.sh calls
#
# Idempotent: does nothing when the lock file and every distribution's metadata are as they were
# at the last run. PYTHON names an interpreter to use instead of the first 3.11 to 3.13 found.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
    "") kind=development ;;
    --runtime) kind=runtime ;;
    *) echo "setup: expected nothing or --runtime, got $1" >&2; exit 2 ;;
esac

say() { echo "setup: $*" >&2; }

distributions() {
    echo .
    for folder in plugins/*/ contrib/*/; do
        # Running needs nothing of what tests use.
        [ "$1 $folder" != "runtime contrib/testing/" ] || continue
        [ -f "${folder}setup.cfg" ] && echo "./${folder%/}"
    done
    return 0
}

# Everything that decides what is installed, as text: kept in .venv and compared with, so that
# no check-sum tool is needed, which systems name differently.
inputs() {
    for folder in $(distributions "$1"); do
        echo "== $folder"
        cat "$folder/setup.cfg" "$folder/pyproject.toml"
    done
    cat "scripts/requirements/$1.txt"
}

current() { [ -f ".venv/$1.stamp" ] && inputs "$1" | cmp -s - ".venv/$1.stamp"; }

# Being there is not enough: a pyenv shim may stand for a version that is not installed, and
# Debian ships an interpreter that cannot make environments.
suits() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
        >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if suits "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    say "no usable Python found: expected 3.11, 3.12 or 3.13 with its venv module"
    say "fix: install one (on Debian: apt-get install python3-venv), or name it: PYTHON=/path/to/python"
    return 1
}

if current "$kind" || { [ "$kind" = runtime ] && current development; }; then
    exit 0
fi

if ! .venv/bin/python -c '' >/dev/null 2>&1; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
rm -f ".venv/$kind.stamp"
say "installing locked packages ($kind)"
.venv/bin/python -m pip install --quiet --require-hashes -r "scripts/requirements/$kind.txt"

say "installing the distributions of this tree, editable"
set --
for folder in $(distributions "$kind"); do
    set -- "$@" -e "$folder"
done
# setuptools is locked and there already, and so is every dependency: nothing is downloaded.
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation "$@"

inputs "$kind" >".venv/$kind.stamp"
say "ready"
