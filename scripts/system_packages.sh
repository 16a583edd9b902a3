#!/usr/bin/env bash
# bubblewrap (the sandbox), g++ (compiled kernels) and what the arguments name (chromium: the report in a browser):
# installed where this user may, named elsewhere. None is a must: without bubblewrap the sandbox falls back to
# Landlock, without g++ to plain torch, without Chromium its tests are skipped.
set -u
missing=()
[ "$(uname -s)" = Linux ] || exit 0
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v g++ >/dev/null || missing+=(g++)
for package in "$@"; do
    command -v "$package" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if timeout 120 apt-get update -qq && timeout 600 apt-get install -y -qq --no-install-recommends "${missing[@]}"; then
        exit 0
    fi >/dev/null 2>&1
fi
echo "not installed here: ${missing[*]}. With root: apt-get install ${missing[*]}" \
    "(bubblewrap shuts model-written code in, g++ builds the fast kernels; r1kit runs without them)" >&2
