#!/bin/sh
# Command 1 of the README: sets up .venv if needed, then runs every role in the foreground.
#
#   scripts/run.sh                        deploy/embedded.toml, on 127.0.0.1:8000
#   scripts/run.sh deploy/worker.toml     another deployment; options of `rolehost run` may follow
#
# TERM or Ctrl-C drains and stops the host; a second signal stops it immediately.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/setup.sh" --runtime
[ $# -gt 0 ] || set -- "$root/deploy/embedded.toml"
exec "$root/.venv/bin/rolehost" run "$@"
