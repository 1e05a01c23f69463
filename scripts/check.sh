#!/bin/sh
# Static checks: `scripts/check.sh [lint] [types] [imports]`, all of them by default.
# VENV is the virtual environment of the tools; default .venv.
set -eu
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin

[ $# -gt 0 ] || set -- lint types imports
for check in "$@"; do
    case "$check" in
        lint)
            "$bin/ruff" check .
            "$bin/ruff" format --check .
            ;;
        types)
            "$bin/mypy"
            # A plugin as an author would write it, checked against the public API.
            "$bin/mypy" --explicit-package-bases tests/typing
            ;;
        imports) "$bin/lint-imports" --no-logo ;;
        *) echo "check: expected lint, types or imports, got $check" >&2; exit 2 ;;
    esac
done
