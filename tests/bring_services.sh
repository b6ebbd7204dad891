#!/usr/bin/env bash
# Brings the real servers that the tests talk to. A second run does nothing.
#
#   bring_services.sh        what is small or quick to have
#   bring_services.sh all    Unleash and its PostgreSQL too (200 MB)
#
# What cannot be had is named, with the tests that it costs, and the script goes on; under
# REQUIRE_SERVICES=1 it then ends with 1.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pom=$root/tests/services/pom.xml
kafka_cache=$root/.cache/kafka
opensearch_pom=$root/tests/services/opensearch_node/pom.xml
opensearch_cache=$root/.cache/opensearch
elasticsearch_pom=$root/tests/services/elasticsearch_node/pom.xml
elasticsearch_cache=$root/.cache/elasticsearch
unleash_package=$root/tests/services/package.json
unleash_cache=$root/.cache/unleash
fetch_limit=900
everything=${1:-}
missing=0

# The test files that ask for one of the given fixtures or components.
tests_with() (
    pattern=$(IFS='|'; echo "$*")
    cd "$root"
    { grep -rlwE --include='test_*.py' "$pattern" tests || true; } | sort | paste -sd ' '
)

lacks() { # WHAT CONSEQUENCE NAME...
    say_lacking "$@"
    missing=1
}

say_lacking() { # WHAT CONSEQUENCE NAME...
    local what=$1 consequence=$2
    shift 2
    local affected
    affected=$(tests_with "$@")
    echo "services: cannot have $what; $consequence: ${affected:-no test yet}" >&2
}

has() { command -v "$1" > /dev/null; }

# Debian keeps the server's programs off the PATH.
has_postgresql() { has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null; }

bring_debian_packages() {
    local wanted=()
    has redis-server || wanted+=(redis-server)
    { has prometheus && has promtool; } || wanted+=(prometheus)
    has prometheus-alertmanager || wanted+=(prometheus-alertmanager)
    has systemd-analyze || wanted+=(systemd)
    has chromium || wanted+=(chromium)
    has haproxy || wanted+=(haproxy)
    [ "$everything" != all ] || has_postgresql || wanted+=(postgresql)
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
    has haproxy || lacks haproxy "skipped" haproxy HAPROXY
}

bring_kafka() {
    bring_jars "Apache Kafka" "$kafka_cache" "$pom" lacks_kafka
}

bring_opensearch() {
    bring_jars OpenSearch "$opensearch_cache" "$opensearch_pom" lacks_opensearch
}

bring_elasticsearch() {
    bring_jars Elasticsearch "$elasticsearch_cache" "$elasticsearch_pom" lacks_elasticsearch
}

bring_jars() { # WHAT CACHE POM LACKS
    jars_of=$3
    if ! has java; then
        "$4" "no java"
    elif is_fetched "$2" "$3"; then
        return 0
    elif ! has mvn; then
        "$4" "no mvn"
    else
        fetch "$1" "$2" "$3" fetch_jars || "$4" "Maven could not fetch it"
    fi
}

fetch_jars() { # FOLDER
    timeout "$fetch_limit" mvn -q -B -Dstyle.color=never -f "$jars_of" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/libs" < /dev/null
}

bring_unleash() {
    if ! has_postgresql; then
        lacks_unleash "no PostgreSQL"
    elif ! has node; then
        lacks_unleash "no node"
    elif is_fetched "$unleash_cache" "$unleash_package"; then
        return 0
    elif ! has npm; then
        lacks_unleash "no npm"
    else
        fetch Unleash "$unleash_cache" "$unleash_package" fetch_unleash ||
            lacks_unleash "npm could not fetch it"
    fi
}

fetch_unleash() { # FOLDER
    cp "$unleash_package" "$1/" &&
        timeout "$fetch_limit" npm install --prefix "$1" --omit=dev --ignore-scripts \
            --no-package-lock --no-audit --no-fund --loglevel=error < /dev/null > /dev/null
}

lacks_opensearch() {
    lacks "OpenSearch ($1)" "skipped" opensearch OPENSEARCH
}

lacks_elasticsearch() {
    lacks "Elasticsearch ($1)" "skipped" elasticsearch ELASTICSEARCH
}

lacks_unleash() {
    lacks "Unleash ($1)" "skipped" unleash UNLEASH
}

is_fetched() { # CACHE DESCRIPTION
    [ "$(cat "$1/stamp" 2> /dev/null)" = "$(stamp_of "$2")" ]
}

stamp_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# The stamp goes last into a folder that is then moved into place: it never vouches for a half.
fetch() { # WHAT CACHE DESCRIPTION COMMAND
    local what=$1 cache=$2 description=$3 command=$4
    echo "services: fetching $what into ${cache#"$root"/}"
    local partial=$cache.partial
    rm -rf "$partial" && mkdir -p "$partial" &&
        "$command" "$partial" &&
        stamp_of "$description" > "$partial/stamp" &&
        rm -rf "$cache" && mv "$partial" "$cache"
}

lacks_kafka() {
    lacks "Apache Kafka ($1)" \
        "on the second broker, or skipped where they need Apache Kafka" kafka APACHE_KAFKA
}

bring_debian_packages
bring_kafka
bring_opensearch
bring_elasticsearch
if [ "$everything" = all ]; then
    bring_unleash
    # no registry that this script uses has it, so nothing fails for want of it
    has flagd || say_lacking "flagd (install it by hand)" "skipped" flagd_factory FLAGD
fi
if [ "$missing" -eq 1 ] && [ "${REQUIRE_SERVICES:-0}" = 1 ]; then
    exit 1
fi
