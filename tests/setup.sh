#!/usr/bin/env bash
# What the tests need beyond Rust, a C compiler and make. Installs from the system's packages; says so when it can't.
set -euo pipefail

# install WHAT PACKAGE WHY: installs a package, or ends and says what is missing.
install() {
    echo "installing $1: $3"
    (apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2") >/dev/null ||
        { echo "$1 is missing and can't be installed: install it (package $2), then run make test again" >&2; exit 1; }
}

# The newest version of PostgreSQL's server that stands where Debian puts it; 0 without one.
newest_postgres() {
    local newest=0 program version
    for program in /usr/lib/postgresql/*/bin/postgres; do
        version=$(basename "$(dirname "$(dirname "$program")")")
        if [ -x "$program" ] && [ "$version" -gt "$newest" ]; then newest=$version; fi
    done
    echo "$newest"
}

command -v strace >/dev/null 2>&1 ||
    install strace strace "the order of fsync and answer is read from system calls"
command -v age >/dev/null 2>&1 ||
    install age age "backups are opened by another program than the one that wrote them"

if [ "$(newest_postgres)" -lt 15 ]; then
    # Tests start servers of their own; the package's default one would only take memory.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/vrx-tests.conf
    package=postgresql
    if apt-cache show postgresql-15 >/dev/null 2>&1; then package=postgresql-15; fi
    install PostgreSQL "$package" "the tests over PostgreSQL start real servers"
fi
if [ "$(newest_postgres)" -lt 15 ]; then
    echo "PostgreSQL $(newest_postgres) is installed, 15 or later is needed: install it below /usr/lib/postgresql, then run make test again" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ] && ! id postgres >/dev/null 2>&1; then
    echo "the system has no user postgres, and PostgreSQL refuses to run as root: reinstall its package, or make that user" >&2
    exit 1
fi
