#!/bin/sh
# Rolls out a fleet in the order of `rolehost fleet plan`, and rolls back if a step fails:
#
#   scripts/deploy.sh processes  'deploy/*.toml'    process trees on this machine
#   scripts/deploy.sh compose    /etc/rolehost      docker-compose.fleet.yml
#   scripts/deploy.sh kubernetes 'deploy/*.toml'    deploy/k8s, by kubectl
#
# --dry-run prints the commands but runs only read-only ones; --help lists the options.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/rolehost ] || scripts/setup.sh --runtime
exec .venv/bin/python -m scripts.deploy "$@"
