#!/bin/sh
# Locks the versions of third-party packages that scripts/setup.sh, tox and the image install.
#
#   scripts/lock.sh              keep the locked versions, add missing packages
#   scripts/lock.sh --upgrade    use the newest versions that the ranges allow
#
# The setup.cfg of each distribution has the version ranges. The lock files have one version of
# each package with its hashes, valid for Python 3.11 to 3.13 and all platforms.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    echo "lock: installing uv into a temporary environment" >&2
    python3 -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --quiet uv
    uv=$work/venv/bin/uv
fi

# Our own distributions are input for the resolver only; the lock files do not contain them.
omit=--no-emit-package=rolehost
echo "-e $PWD" >"$work/host.in"
echo "-e ${PWD}[http,worker,scheduler]" >"$work/own.in"
for folder in plugins/*/ contrib/*/; do
    [ -f "${folder}setup.cfg" ] || continue
    list=own
    # The runtime does not need the test dependencies.
    [ "$folder" != contrib/testing/ ] || list=tests
    echo "-e $PWD/${folder%/}" >>"$work/$list.in"
    name=$(sed -n 's/^name *= *//p' "${folder}setup.cfg" | head -n 1)
    omit="$omit --no-emit-package=$name"
done

in=scripts/requirements
compile() {
    target=$1
    shift
    # shellcheck disable=SC2086  # one word for each distribution left out
    UV_CUSTOM_COMPILE_COMMAND=scripts/lock.sh "$uv" pip compile --quiet --universal \
        --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
        $omit --output-file "$in/$target.txt" "$@"
    echo "lock: $in/$target.txt" >&2
}

# The largest lock is resolved first; the others are subsets with the same versions.
compile development "$work/own.in" "$work/tests.in" "$in/runtime.in" "$in/test.in" "$in/development.in" "$@"
set -- --constraint "$in/development.txt"
compile test "$work/own.in" "$work/tests.in" "$in/runtime.in" "$in/test.in" "$@"
compile runtime "$work/own.in" "$in/runtime.in" "$@"
compile host "$work/host.in" "$in/host.in" "$@"
# The libraries that the benchmarks compare with the host; only the benchmarks install them.
compile benchmarks "$work/own.in" "$work/tests.in" "$in/runtime.in" "$in/test.in" "$in/benchmarks.in" "$@"
