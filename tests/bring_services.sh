#!/usr/bin/env bash
# Brings the real servers that the tests talk to. A second run does nothing.
#
# What cannot be had is named, with the tests that it costs, and the script goes on; under
# REQUIRE_SERVICES=1 it then ends with 1.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pom=$root/tests/services/pom.xml
cache=$root/.cache/kafka
fetch_limit=900
missing=0

# The test files that ask for one of the given fixtures or components.
tests_with() (
    pattern=$(IFS='|'; echo "$*")
    cd "$root"
    { grep -rlwE --include='test_*.py' "$pattern" tests || true; } | sort | paste -sd ' '
)

lacks() { # WHAT CONSEQUENCE NAME...
    local what=$1 consequence=$2
    shift 2
    local affected
    affected=$(tests_with "$@")
    echo "services: cannot have $what; $consequence: ${affected:-no test yet}" >&2
    missing=1
}

has() { command -v "$1" > /dev/null; }

bring_debian_packages() {
    local wanted=()
    has redis-server || wanted+=(redis-server)
    { has prometheus && has promtool; } || wanted+=(prometheus)
    has prometheus-alertmanager || wanted+=(prometheus-alertmanager)
    has systemd-analyze || wanted+=(systemd)
    has chromium || wanted+=(chromium)
    [ "${#wanted[@]}" -gt 0 ] || return 0

    if ! has apt-get; then
        echo "services: this is not a Debian machine, install these by hand: ${wanted[*]}" >&2
    elif [ "$(id -u)" -ne 0 ]; then
        echo "services: not root, so not installed: ${wanted[*]}" >&2
    else
        echo "services: installing Debian packages: ${wanted[*]}"
        install_debian_packages "${wanted[@]}" ||
            echo "services: apt-get failed" >&2
    fi
    report_debian_packages
}

install_debian_packages() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        # the packages' own services would only take ports and memory
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" > /dev/null
)

report_debian_packages() {
    has redis-server || lacks redis-server "skipped" redis_server REDIS
    has prometheus || lacks prometheus "skipped" prometheus_factory PROMETHEUS
    has promtool || lacks promtool "skipped" PROMTOOL
    has prometheus-alertmanager ||
        lacks prometheus-alertmanager "skipped" alertmanager_factory ALERTMANAGER
    has systemd-analyze || lacks systemd-analyze "skipped" systemd-analyze
    has chromium || lacks chromium "skipped" CHROMIUM
}

bring_kafka() {
    local stamp
    stamp=$(sha256sum "$pom" | cut -d ' ' -f 1)
    if ! has java; then
        lacks_kafka "no java"
    elif [ "$(cat "$cache/stamp" 2> /dev/null)" = "$stamp" ]; then
        return 0
    elif ! has mvn; then
        lacks_kafka "no mvn"
    else
        echo "services: fetching Apache Kafka into ${cache#"$root"/}"
        fetch_kafka "$stamp" || lacks_kafka "Maven could not fetch it"
    fi
}

# The stamp goes last into a folder that is then moved into place: it never vouches for a half.
fetch_kafka() {
    local partial=$cache.partial
    rm -rf "$partial" && mkdir -p "$partial" &&
        timeout "$fetch_limit" mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$partial/libs" < /dev/null &&
        echo "$1" > "$partial/stamp" &&
        rm -rf "$cache" && mv "$partial" "$cache"
}

lacks_kafka() {
    lacks "Apache Kafka ($1)" \
        "on the second broker, or skipped where they need Apache Kafka" kafka APACHE_KAFKA
}

bring_debian_packages
bring_kafka
if [ "$missing" -eq 1 ] && [ "${REQUIRE_SERVICES:-0}" = 1 ]; then
    exit 1
fi
