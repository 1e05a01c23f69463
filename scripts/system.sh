#!/bin/sh
# Installs missing commands that tests and proofs call, if it has the permission.
#
#   scripts/system.sh                      the commands that every test run needs
#   scripts/system.sh COMMAND:PACKAGE...   these commands; services.sh install uses this
#
# It installs Debian packages only, as root or with sudo without a password, and prints what it
# does. It does not start servers that come with a package. If it cannot install, it lists the
# missing commands and exits with 0: the tests that need them are skipped, or fail with CI=true.
set -eu

[ $# -gt 0 ] || set -- git:git curl:curl npm:npm node:nodejs chromium:chromium

# Debian does not put the PostgreSQL server programs on PATH.
there() {
    command -v "$1" >/dev/null 2>&1 && return 0
    for candidate in /usr/lib/postgresql/*/bin/"$1"; do
        [ -x "$candidate" ] && return 0
    done
    return 1
}

missing=
for pair; do
    there "${pair%%:*}" || missing="$missing ${pair##*:}"
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
echo "system: apt-get install$missing (servers among them are not started)" >&2
export DEBIAN_FRONTEND=noninteractive

# Packages call policy-rc.d before they start a server; exit status 101 forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
# shellcheck disable=SC2086  # word splitting is intended: an optional prefix, a list of packages
{
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
