#!/usr/bin/env bash
# What the tests need beyond Rust, a C compiler and make. Installs from Debian's packages; says so when it can't.
set -euo pipefail
if ! command -v strace >/dev/null 2>&1; then
    echo "installing strace: the order of fsync and answer is read from system calls"
    (apt-get update -q && apt-get install -y -q strace) >/dev/null ||
        { echo "strace is missing and can't be installed: install it, then run make test again" >&2; exit 1; }
fi
