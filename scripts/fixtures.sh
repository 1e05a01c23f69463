#!/bin/sh
# Downloads third-party test material, which is not part of the repository, into .cache/fixtures.
#
# Three npm packages: GitHub's webhook payloads (329 documents), the JSON Schemas of AsyncAPI, and
# playwright-core, which drives Debian's Chromium.
# Idempotent. Without npm or a registry it prints which tests will be skipped and exits with 0;
# with CI=true it fails instead.
set -eu
cd "$(dirname "$0")/.."

missing() {
    echo "fixtures: $*" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

# fetch PACKAGE VERSION FOLDER WHAT-IS-SKIPPED
fetch() {
    target=.cache/fixtures/$3-$2
    if [ -f "$target/package.json" ]; then
        return
    fi
    command -v npm >/dev/null 2>&1 || missing "npm not found (on Debian: apt-get install npm); $4"
    echo "fixtures: npm pack $1@$2" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --silent "$1@$2" >archive) || missing "npm could not fetch $1; $4"
    tar -xzf "$work/$(cat "$work/archive")" -C "$work"
    mkdir -p .cache/fixtures
    rm -rf "$target"
    mv "$work/package" "$target"
    rm -rf "$work"
}

fetch @octokit/webhooks-examples 7.6.1 octokit-webhooks-examples "the octokit proof is skipped"
fetch @asyncapi/specs 6.11.1 asyncapi-specs "AsyncAPI documents are not validated"
fetch playwright-core 1.65.1 playwright-core "the access proof is skipped"
