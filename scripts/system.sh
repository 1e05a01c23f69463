#!/bin/sh
# Installs the commands that tests and proofs call, where something is missing and it may.
#
# Only from Debian's packages, only as root or with sudo that asks for no password, and it says
# what it does. Otherwise it names what is missing and ends with 0: the tests that need it are
# skipped then, or fail with CI=true.
set -eu

# command:package
wanted="git:git curl:curl npm:npm"

missing=
for pair in $wanted; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "system: missing:$missing; install them with this system's package manager" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true >/dev/null 2>&1; then
    as_root="sudo -n"
else
    echo "system: missing:$missing; fix: sudo apt-get install$missing" >&2
    exit 0
fi
echo "system: apt-get install$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # words on purpose: a prefix or nothing, and a list of packages
{
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
