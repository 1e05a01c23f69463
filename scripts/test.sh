#!/bin/sh
# Command 2 of the README: installs what the tests need, then runs every check there is.
#
#   scripts/test.sh           static checks, all tests and proofs, each Python
#   scripts/test.sh --quick   on one Python, the tree as it is
#
# PostgreSQL, Redis, memcached and Apache Kafka run during the tests, one set for all of them, on
# free ports of 127.0.0.1 and in temporary folders; scripts/services.sh has them for a person.
# With CI=true a missing interpreter or service is a failure; elsewhere it is skipped and said.
set -eu
cd "$(dirname "$0")/.."

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
.venv/bin/rolehost fleet check --strict deploy/*.toml

step "PostgreSQL, Redis, memcached and Apache Kafka for all tests"
folder=$(mktemp -d)
export ROLEHOST_SERVICES_STATE="$folder/services.json"
beside=
end() {
    [ -z "$beside" ] || kill $beside 2>/dev/null || true
    scripts/services.sh down
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT TERM
# Should this shell be killed, they end by themselves.
scripts/services.sh up --owner $$
services=$(scripts/services.sh env)
eval "$services"

# Parts that run beside each other, for each waits much; each has a line at its end. One that fails
# keeps no other from running.
failed=
matrix_id=
if [ "$matrix" = yes ]; then
    step "wheels"
    # Before anything else is made of the tree.
    .venv/bin/tox run -e wheels
    step "tox: each Python, and each set of distributions; meanwhile"
    skip=true
    [ "${CI:-}" != true ] || skip=false
    # One more than there are processors: the tests on engines mostly wait for them.
    .venv/bin/tox run-parallel -m short --parallel "$(($(getconf _NPROCESSORS_ONLN) + 1))" \
        --parallel-no-spinner --skip-missing-interpreters "$skip" >"$folder/tox.log" 2>&1 &
    matrix_id=$!
    # The rest of the tests runs against wheels.
    set -- tests/docs tests/packaging tests/proofs
else
    set -- tests plugins contrib
fi
.venv/bin/python -m pytest -q -m waiting tests/proofs >"$folder/waiting.log" 2>&1 &
waiting_id=$!
beside="$matrix_id $waiting_id"

step "documents, packages and the short proofs"
.venv/bin/python -m pytest -q -m "not waiting and not alone" "$@" || failed=yes
step "the proofs whose engines stop and come back"
wait "$waiting_id" || failed=yes
cat "$folder/waiting.log"
if [ -n "$matrix_id" ]; then
    step "tox"
    wait "$matrix_id" || failed=yes
    cat "$folder/tox.log"
fi
beside=
step "the proofs that measure, alone"
.venv/bin/python -m pytest -q -m alone tests/proofs || failed=yes
[ -z "$failed" ]
