#!/bin/sh
# Fetches the test material that is not ours to keep in the tree, into .cache/fixtures.
#
# Today that is one npm package: GitHub's webhook payloads, 329 documents.
# Idempotent. Without npm or a registry it says what is then skipped and ends with 0;
# with CI=true it fails instead.
set -eu
cd "$(dirname "$0")/.."

name=@octokit/webhooks-examples
version=7.6.1
target=.cache/fixtures/octokit-webhooks-examples-$version

if [ -f "$target/package.json" ]; then
    exit 0
fi

missing() {
    echo "fixtures: $*; the octokit proof is skipped" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

command -v npm >/dev/null 2>&1 || missing "npm not found (on Debian: apt-get install npm)"
echo "fixtures: npm pack $name@$version" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "$name@$version" >archive) || missing "npm could not fetch $name"
tar -xzf "$work/$(cat "$work/archive")" -C "$work"
mkdir -p .cache/fixtures
rm -rf "$target"
mv "$work/package" "$target"
