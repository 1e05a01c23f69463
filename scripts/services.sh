#!/bin/sh
# The engines that tests and proofs run against: PostgreSQL, Redis, memcached, Apache Kafka.
#
#   scripts/services.sh install          what is missing: Debian's packages, and Kafka's jars into
#                                        ~/.cache; says first what it will do. The only command
#                                        that touches the system
#   scripts/services.sh up [ENGINE...]   start them in the background, each on a free port of
#                                        127.0.0.1 with a temporary folder; all by default
#   scripts/services.sh env              export lines of their URLs: eval "$(scripts/services.sh env)"
#   scripts/services.sh status           what runs, and what is missing
#   scripts/services.sh down             end them; their data is gone
#
# An engine that the environment names (ROLEHOST_TEST_POSTGRES_URL, …_REDIS_URL, …_MEMCACHED_URL,
# …_KAFKA_URL) is not started. ROLEHOST_SERVICES_STATE names another file for what runs.
set -eu
cd "$(dirname "$0")/.."

[ -x .venv/bin/rolehost ] || scripts/setup.sh
services() {
    .venv/bin/python -m rolehost_testing.services \
        --state "${ROLEHOST_SERVICES_STATE:-var/services.json}" "$@"
}

case "${1:-}" in
    install)
        scripts/system.sh postgres:postgresql redis-server:redis-server memcached:memcached \
            java:default-jre-headless kcat:kcat openssl:openssl pgbouncer:pgbouncer
        echo "services: jars of Apache Kafka: kept, or 43 MB from Maven Central" >&2
        # As with packages: without them tests of Kafka are skipped, or fail with CI=true.
        services jars || [ "${CI:-}" != true ]
        ;;
    up | env | status | down) services "$@" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2; exit 2 ;;
esac
