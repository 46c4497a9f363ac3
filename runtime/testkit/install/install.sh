#!/usr/bin/env bash
# Installs what the local stack and the tests need and what is missing, each thing at a fixed version:
#   - packages of the operating system (apt-get when root; else the command is printed and this stops),
#   - Kafka's jars through Maven into .stack/kafka,
#   - kube-apiserver and kubectl, built from Go modules, into .stack/bin,
#   - with --all also stripe-mock, built from its Go module: a test checks our requests against Stripe's own description;
#     Helm, too: tests render and install the charts; libfaketime: the fault campaign moves clocks; and tmux: the cockpit is
#     tested in a real terminal.
# What is there is left alone, so that a second run takes well below a second. A server that an environment variable
# points at (KUBECONFIG, TICKET_KAFKA_BROKERS, TICKET_DATABASE_URL, TICKET_REDIS_URL) is not installed, unless the first
# argument is --all: tests kill servers, so they need their own. With --fuzz only the fuzzer of `make fuzz` is installed, into
# a Python environment of its own, .stack/fuzz.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
STACK=$ROOT/.stack
LOGS=$STACK/logs

KUBERNETES_VERSION=v1.36.3
# Measured on 2 idle cores with nothing in any cache; the announcement scales them to the machine.
KUBERNETES_BUILD_CORE_SECONDS=620
STRIPE_MOCK_VERSION=v0.203.0
STRIPE_MOCK_BUILD_CORE_SECONDS=20
HELM_VERSION=v3.22.0
HELM_BUILD_CORE_SECONDS=240
KAFKA_SECONDS=20
PACKAGES_SECONDS=90
FUZZER_SECONDS=30

main() {
    local all=no
    [ "${1:-}" = --all ] && all=yes
    if [ "${1:-}" = --fuzz ]; then
        mkdir -p "$LOGS" "$STACK/stamps"
        fuzzer
        return
    fi
    local kube=yes kafka=yes postgres=yes redis=yes
    if [ "$all" = no ]; then
        [ -n "${KUBECONFIG:-}" ] && kube=no && say "kube-apiserver: not installed, KUBECONFIG is set"
        [ -n "${TICKET_KAFKA_BROKERS:-}" ] && kafka=no && say "Kafka: not installed, TICKET_KAFKA_BROKERS is set"
        [ -n "${TICKET_DATABASE_URL:-}" ] && postgres=no && say "PostgreSQL: not installed, TICKET_DATABASE_URL is set"
        [ -n "${TICKET_REDIS_URL:-}" ] && redis=no && say "Redis: not installed, TICKET_REDIS_URL is set"
    fi
    mkdir -p "$LOGS" "$STACK/bin" "$STACK/stamps"
    # Two of these at once would write the same files. Held until this script ends.
    exec 9>"$STACK/install.lock"
    flock 9
    packages
    [ $kafka = no ] || kafka_jars
    if [ $kube = yes ]; then
        kubernetes kube-apiserver kubectl
    elif ! has kubectl; then
        kubernetes kubectl
    fi
    [ "$all" = no ] || stripe_mock
    [ "$all" = no ] || helm
}

# --- packages of the operating system -------------------------------------------------------------------------------

packages() {
    local missing=()
    has cargo || stop "Rust is missing; next step: install it (https://rustup.rs), then run this again"
    has g++ || missing+=(g++)
    has cmake || missing+=(cmake)
    has pkg-config || missing+=(pkg-config)
    [ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
    # librdkafka 2.12 includes it even where it is built without curl (rdkafka_conf.c tests the macro for being defined).
    [ -e /usr/include/curl/curl.h ] || compgen -G '/usr/include/*/curl/curl.h' >/dev/null || missing+=(libcurl4-openssl-dev)
    has setpriv && has setsid || missing+=(util-linux)
    if [ $kube = yes ]; then
        has etcd || missing+=(etcd-server)
        has openssl || missing+=(openssl)
    fi
    if [ $kafka = yes ]; then
        has java || missing+=(openjdk-17-jre-headless)
        [ -e "$STACK/stamps/kafka" ] || has mvn || missing+=(maven)
    fi
    if [ $postgres = yes ]; then
        has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
    fi
    if [ $redis = yes ]; then
        has redis-server || missing+=(redis-server)
    fi
    # Moves the clock of a single process.
    [ "$all" = no ] || compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(faketime)
    # The cockpit is tested in a real terminal.
    [ "$all" = no ] || has tmux || missing+=(tmux)
    [ ${#missing[@]} -gt 0 ] || return 0

    local command="apt-get install -y --no-install-recommends ${missing[*]}"
    has apt-get || stop "these are missing and this system has no apt-get: ${missing[*]}; next step: install them"
    [ "$(id -u)" = 0 ] || stop "packages are missing; next step: sudo $command"
    # Their own services may start on their default ports; the stack uses others.
    export DEBIAN_FRONTEND=noninteractive
    long packages "packages ${missing[*]}" $PACKAGES_SECONDS bash -c "apt-get update && $command"
}

# --- Kafka ----------------------------------------------------------------------------------------------------------

kafka_jars() {
    local stamp
    stamp=$(sha256sum "$HERE/kafka/pom.xml" | cut -d' ' -f1)
    is_done kafka "$stamp" && [ -d "$STACK/kafka/lib" ] && return
    rm -rf "$STACK/kafka.part"
    long kafka "Kafka's jars" $KAFKA_SECONDS \
        mvn -B -ntp -f "$HERE/kafka/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$STACK/kafka.part/lib"
    rm -rf "$STACK/kafka"
    mv "$STACK/kafka.part" "$STACK/kafka"
    done_now kafka "$stamp"
}

# --- Kubernetes -----------------------------------------------------------------------------------------------------

# Builds the named programs of Kubernetes.
kubernetes() {
    local stamp missing=() program
    stamp=$(cat "$HERE/kubernetes/go.mod" "$HERE/kubernetes/go.sum" | sha256sum | cut -d' ' -f1)
    for program in "$@"; do
        is_done "$program" "$stamp" && [ -x "$STACK/bin/$program" ] || missing+=("$program")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    has go || stop "Go is missing (1.26 or newer); next step: install it (https://go.dev/dl), then run this again"

    local version flags part packages=()
    # Without these the server says that its version is v0.0.0.
    version=k8s.io/component-base/version
    flags="-s -w -X $version.gitVersion=$KUBERNETES_VERSION -X $version.gitTreeState=clean"
    flags+=" -X $version.gitMajor=1 -X $version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
    part=$STACK/bin.part
    rm -rf "$part"
    for program in "${missing[@]}"; do packages+=("k8s.io/kubernetes/cmd/$program"); done
    export CGO_ENABLED=0
    long kubernetes "building ${missing[*]} $KUBERNETES_VERSION" $((KUBERNETES_BUILD_CORE_SECONDS / $(nproc))) \
        go -C "$HERE/kubernetes" build -mod=readonly -trimpath -ldflags "$flags" -o "$part/" "${packages[@]}"
    for program in "${missing[@]}"; do
        mv "$part/$program" "$STACK/bin/$program"
        done_now "$program" "$stamp"
    done
    rmdir "$part"
}

# --- Stripe and Helm ------------------------------------------------------------------------------------------------

stripe_mock() {
    go_program stripe-mock github.com/stripe/stripe-mock "$STRIPE_MOCK_VERSION" $STRIPE_MOCK_BUILD_CORE_SECONDS
}

helm() {
    # Without these it renders for a Kubernetes of long ago.
    local package flags="" minor
    minor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")
    for package in chartutil lint/rules; do
        flags+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$minor"
    done
    flags+=" -X helm.sh/helm/v3/internal/version.version=$HELM_VERSION"
    go_program helm helm.sh/helm/v3/cmd/helm "$HELM_VERSION" $HELM_BUILD_CORE_SECONDS "$flags"
}

# go_program NAME PACKAGE VERSION CORE_SECONDS [FLAGS OF THE LINKER]: builds one program of a Go module.
go_program() {
    local name=$1 package=$2 version=$3 core_seconds=$4 flags="-s -w ${5:-}" part=$STACK/$1.part
    is_done "$name" "$version" && [ -x "$STACK/bin/$name" ] && return
    has go || stop "Go is missing (1.26 or newer); next step: install it (https://go.dev/dl), then run this again"
    rm -rf "$part"
    long "$name" "building $name $version" $((core_seconds / $(nproc))) \
        env CGO_ENABLED=0 "GOBIN=$part" go install -trimpath -ldflags "$flags" "$package@$version"
    mv "$part/$name" "$STACK/bin/$name"
    rmdir "$part"
    done_now "$name" "$version"
}

# --- the fuzzer -----------------------------------------------------------------------------------------------------

fuzzer() {
    local stamp
    stamp=$(sha256sum "$HERE/fuzz/requirements.txt" | cut -d' ' -f1)
    is_done fuzz "$stamp" && [ -x "$STACK/fuzz/bin/schemathesis" ] && return
    python3 -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 10)' 2>/dev/null ||
        stop "Python 3.10 or newer with venv is missing; next step: apt-get install -y python3-venv, then run this again"
    rm -rf "$STACK/fuzz"
    long fuzz "schemathesis" $FUZZER_SECONDS bash -c "python3 -m venv '$STACK/fuzz' &&
        '$STACK/fuzz/bin/pip' install --disable-pip-version-check --requirement '$HERE/fuzz/requirements.txt'"
    done_now fuzz "$stamp"
}

# --- small words ----------------------------------------------------------------------------------------------------

say() { printf 'install: %s\n' "$*" >&2; }
stop() { say "$*"; exit 2; }
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

# A thing is done if it was made from the same description; the stamp is a checksum of that.
is_done() { [ "$(cat "$STACK/stamps/$1" 2>/dev/null)" = "$2" ]; }
done_now() { printf '%s\n' "$2" >"$STACK/stamps/$1"; }

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# long NAME WHAT SECONDS COMMAND...: runs it with its output in a log, and tells how long it takes.
long() {
    local name=$1 what=$2 expected=$3
    shift 3
    local log=$LOGS/install-$name.log started=$SECONDS pid status=0
    say "$what: takes about $(clock "$expected"); output in ${log#"$ROOT"/}"
    "$@" </dev/null >"$log" 2>&1 9>&- &
    pid=$!
    # shellcheck disable=SC2064  # the process of now is meant
    trap "kill $pid 2>/dev/null; exit 130" INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        progress "$what" $((SECONDS - started)) "$expected"
    done
    wait "$pid" || status=$?
    trap - INT TERM
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ $status != 0 ]; then
        say "$what: failed after $(clock $((SECONDS - started))); the log ends with:"
        tail -n 15 "$log" >&2
        stop "next step: read ${log#"$ROOT"/}, mend it (network, disk, versions), and run the same command again"
    fi
    say "$what: done in $(clock $((SECONDS - started)))"
}

# A line that is written over on a terminal, else one line now and then.
progress() {
    local what=$1 elapsed=$2 expected=$3 left="longer than usual"
    [ "$elapsed" -ge "$expected" ] || left="about $(clock $((expected - elapsed))) left"
    if [ -t 2 ]; then
        printf '\r\033[Kinstall: %s: %s, %s' "$what" "$(clock "$elapsed")" "$left" >&2
    elif [ $((elapsed % 30)) = 0 ] && [ "$elapsed" -gt 0 ]; then
        say "$what: $(clock "$elapsed"), $left"
    fi
}

main "$@"
