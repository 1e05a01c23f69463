# `just` lists what there is; each line calls a script that works without just, too.

[private]
default:
    @just --list

# Make .venv with everything that development needs
setup:
    scripts/setup.sh

# Run every role on 127.0.0.1:8000 (or another deployment: just run deploy/worker.toml)
run *ARGS:
    scripts/run.sh {{ARGS}}

# All checks, as CI runs them
test *ARGS:
    scripts/test.sh {{ARGS}}

# Some tests: just pytest plugins/embedded -k stream
pytest *ARGS:
    .venv/bin/python -m pytest {{ARGS}}

# PostgreSQL, Redis, memcached and Kafka in the background: just services install|up|env|status|down
services *ARGS:
    scripts/services.sh {{ARGS}}

# Static checks: lint, types, imports
check *CHECKS:
    scripts/check.sh {{CHECKS}}

# Format the code
format:
    .venv/bin/ruff format .
    .venv/bin/ruff check --fix .

# Show a promise: just prove kills --seed 7 (just prove --list)
prove *ARGS:
    scripts/prove {{ARGS}}

# Write the generated pages of docs/
docs:
    .venv/bin/python -m scripts.generate_docs

# Run the conformance suites against every backend and write docs/conformance.md
conformance *KINDS:
    .venv/bin/python -m scripts.conformance {{KINDS}}

# Lock third-party versions anew (just lock --upgrade takes newer ones)
lock *ARGS:
    scripts/lock.sh {{ARGS}}

# Build all wheels into dist/
wheels:
    scripts/wheels.sh dist

# Build the image
image TAG="rolehost:dev":
    docker build --tag {{TAG}} .
