#!/bin/sh
# Command 1 of the README: sets .venv up when needed, then runs every role in the foreground.
#
#   scripts/run.sh                        deploy/embedded.toml, on 127.0.0.1:8000
#   scripts/run.sh deploy/worker.toml     another deployment; options of `rolehost run` may follow
#
# TERM or Ctrl-C drains and stops it, a second one ends it at once.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/setup.sh" --runtime
[ $# -gt 0 ] || set -- "$root/deploy/embedded.toml"
exec "$root/.venv/bin/rolehost" run "$@"
