#!/bin/sh
# Rolls out a fleet in the order that `rolehost fleet plan` gives, and goes back if a step fails:
#
#   scripts/deploy.sh processes  'deploy/*.toml'    process trees on this machine
#   scripts/deploy.sh compose    /etc/rolehost      docker-compose.fleet.yml
#   scripts/deploy.sh kubernetes 'deploy/*.toml'    deploy/k8s, by kubectl
#
# --dry-run prints the commands and runs none that changes anything; --help lists the options.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/rolehost ] || scripts/setup.sh --runtime
exec .venv/bin/python -m scripts.deploy "$@"
