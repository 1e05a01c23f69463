#!/bin/sh
# Creates .venv and installs the host, all plugins and all applications in editable mode.
#
#   scripts/setup.sh              all dependencies of development and tests
#   scripts/setup.sh --runtime    runtime dependencies only; scripts/run.sh uses this
#
# Idempotent: does nothing if the lock file and the metadata of all distributions are unchanged.
# PYTHON sets the interpreter; default: the first of Python 3.11 to 3.13 that is found.
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
        # The runtime does not need the test dependencies.
        [ "$1 $folder" != "runtime contrib/testing/" ] || continue
        [ -f "${folder}setup.cfg" ] && echo "./${folder%/}"
    done
    return 0
}

# The input of the installation as text, stored in .venv for the next comparison. A checksum would
# be shorter, but the name of the tool differs between systems.
inputs() {
    for folder in $(distributions "$1"); do
        echo "== $folder"
        cat "$folder/setup.cfg" "$folder/pyproject.toml"
    done
    cat "scripts/requirements/$1.txt"
}

current() { [ -f ".venv/$1.stamp" ] && inputs "$1" | cmp -s - ".venv/$1.stamp"; }

# It is not enough that the command exists: a pyenv shim may point to a version that is not
# installed, and Debian has an interpreter without venv.
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
# setuptools and all dependencies are installed already, so nothing is downloaded.
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation "$@"

inputs "$kind" >".venv/$kind.stamp"
say "ready"
