#!/bin/sh
# Command 2 of the README: installs what the tests need, then runs every test.
#
#   scripts/test.sh           static checks, all tests and proofs, divided among the Pythons
#   scripts/test.sh --quick   one Python, on the working tree
#
# One PostgreSQL, Redis, memcached and Apache Kafka run during all tests, on free ports of
# 127.0.0.1 and in temporary folders. For manual use, see scripts/services.sh.
# With CI=true a missing interpreter or service is an error; otherwise it is skipped and reported.
set -eu
cd "$(dirname "$0")/.."

# The tests start many hundred processes; without bytecode files each would compile its imports.
unset PYTHONDONTWRITEBYTECODE

matrix=yes
case "${1:-}" in
    "") ;;
    --quick) matrix=no ;;
    *) echo "test: expected nothing or --quick, got $1" >&2; exit 2 ;;
esac

began=$(date +%s)
step() { printf '\n== %s (after %s s)\n' "$*" "$(($(date +%s) - began))"; }

step "what the tests need: .venv, commands and engines from Debian's packages, material from npm"
scripts/system.sh
scripts/setup.sh
scripts/services.sh install
scripts/fixtures.sh

step "ruff, mypy, import contracts"
scripts/check.sh

step "our deployments fit together"
# The token must be set, but it is never used.
ROLEHOST_WEBHOOKS_TOKEN=checked .venv/bin/rolehost fleet check --strict deploy/*.toml

step "PostgreSQL, Redis, memcached and Apache Kafka for all tests"
folder=$(mktemp -d)
export ROLEHOST_SERVICES_STATE="$folder/services.json"
running=
end() {
    [ -z "$running" ] || kill $running 2>/dev/null || true
    scripts/services.sh down
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT TERM
# The engines stop by themselves if this shell is killed.
scripts/services.sh up --owner $$
services=$(scripts/services.sh env)
eval "$services"

failed=
if [ "$matrix" = yes ]; then
    step "wheels"
    # Before anything else is built, in the folder where tox looks for the wheels.
    scripts/wheels.sh .tox/dist
    export ROLEHOST_TEST_WHEELS="$PWD/.tox/dist"
    skip=true
    [ "${CI:-}" != true ] || skip=false
    # Each distribution with its own dependencies on one Python; the host alone on another.
    .venv/bin/tox run-parallel -m short --parallel auto --parallel-no-spinner \
        --skip-missing-interpreters "$skip" >"$folder/tox.log" 2>&1 &
    tox=$!
    set -- tests/docs tests/packaging tests/proofs
else
    tox=
    set -- tests plugins contrib
fi
# These tests mostly wait for servers that stop and start.
.venv/bin/python -m pytest -q -m "engine or waiting" --ignore=tests/proofs tests plugins contrib \
    >"$folder/engines.log" 2>&1 &
engines=$!
running="$tox $engines"

step "documents, packages and the short proofs; the tests on engines and tox run beside them"
.venv/bin/python -m pytest -q -m "not engine and not waiting and not alone" "$@" || failed=yes

step "the short proofs that mostly wait for servers"
.venv/bin/python -m pytest -q -m "engine or waiting" tests/proofs || failed=yes

step "the tests on PostgreSQL, Redis, memcached and Apache Kafka"
wait "$engines" || failed=yes
cat "$folder/engines.log"

if [ -n "$tox" ]; then
    step "tox: each distribution by itself, against wheels"
    wait "$tox" || failed=yes
    cat "$folder/tox.log"
fi
running=

step "what measures, alone"
.venv/bin/python -m pytest -q -m alone tests/docs tests/proofs || failed=yes
step "done"
[ -z "$failed" ]
