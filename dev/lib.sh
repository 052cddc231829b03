# shellcheck shell=bash
# Sourced by every script in this folder: places, progress, failures, and Debian's packages.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export BT_CACHE=${BT_CACHE:-$HOME/.cache/bt-monitoring}
CLUSTER=${BT_CLUSTER:-bt-monitoring}
NAMESPACE=${BT_NAMESPACE:-default}
BT_LOGS=$BT_CACHE/logs/$CLUSTER
mkdir -p "$BT_CACHE/bin" "$BT_LOGS"
export PATH=$BT_CACHE/bin:$PATH

# Versions of what is built or fetched, in one place.
export KIND_VERSION=v0.31.0 HELM_VERSION=v3.19.2 K8S_VERSION=v1.35.4 # of the node image that is built here
export RELEASE=bt-monitoring
APP_VERSION=$(sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\} *$/\1/p' "$ROOT/charts/Chart.yaml" 2>/dev/null || true)
APP_VERSION=${APP_VERSION:-0.1.0}

# A clone that was not built in yet uses a build folder in the cache, so that the next clean clone finds the libraries there.
if [ -z "${CARGO_TARGET_DIR:-}" ]; then
  CARGO_TARGET_DIR=$ROOT/target
  [ -d "$CARGO_TARGET_DIR" ] || CARGO_TARGET_DIR=$BT_CACHE/target
  export CARGO_TARGET_DIR
fi

# --- progress ---------------------------------------------------------------------------------------------------------------
# What a person reads goes to file descriptor 3, which nested scripts inherit; a step's own output goes to its log.
if [ -z "${BT_RUN:-}" ] || ! { : >&3; } 2>/dev/null; then
  exec 3>&2
  export BT_RUN=$$ BT_DEPTH=0
  find "$BT_LOGS" -name '.*' -type f -mtime +1 -delete
  touch "$BT_LOGS/.run.$BT_RUN"
fi

say() { printf "%$((BT_DEPTH * 2))s%s\n" '' "$*" >&3; }
note() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

log_name() { tr -cs 'A-Za-z0-9.\n' '-' <<<"$1" | sed 's/-$//'; }

# step WHAT COMMAND...: run it with its output in a log, and say how long it took. A failure shows the log's end, once, at the
# innermost step, and ends the script. WHAT names the log.
step() {
  local what=$1 start=$SECONDS code log; shift
  log=$BT_LOGS/$(log_name "$what").log
  say "==> $what …"
  set +e
  (set -e; BT_DEPTH=$((BT_DEPTH + 1)) "$@") >"$log" 2>&1
  code=$?
  set -e
  step_end "$what" "$code" "$((SECONDS - start))" "$log"
}

# live_step WHAT COMMAND...: the same, with the output shown as it comes.
live_step() {
  local what=$1 start=$SECONDS code log; shift
  log=$BT_LOGS/$(log_name "$what").log
  say "==> $what …"
  set +e
  (set -e; BT_DEPTH=$((BT_DEPTH + 1)) "$@") 2>&1 | tee "$log" >&3
  code=${PIPESTATUS[0]}
  set -e
  step_end "$what" "$code" "$((SECONDS - start))" "$log" shown
}

step_end() { # WHAT CODE SECONDS LOG [shown]
  if [ "$2" = 0 ]; then say "    $1: done ($3 s)"; return 0; fi # a bare return within an exit trap would give the status before it
  if [ ! -e "$BT_LOGS/.reported.$BT_RUN" ]; then
    touch "$BT_LOGS/.reported.$BT_RUN"
    say "FAILED: $1 (exit code $2, after $3 s)"
    [ "${5:-}" = shown ] || tail -n 40 "$4" | sed 's/^/    | /' >&3
    say "whole log: $4"
  else
    say "FAILED: $1 ($3 s)"
  fi
  exit "$2"
}

# later COMMAND...: begins it, mostly a step, beside what follows. joined waits for what was begun, and ends the script where that failed;
# abandoned ends it. One at a time.
LATER=
later() { set -m; ("$@") & LATER=$!; set +m; }
joined() { local begun=$LATER; LATER=; wait "$begun" || exit "$?"; }
abandoned() {
  [ -n "$LATER" ] || return 0
  kill -- "-$LATER" 2>/dev/null || true
  wait "$LATER" 2>/dev/null || true
  LATER=
}

# closing_lines STEP...: what the test runners said last, from the logs of these steps of this run
closing_lines() {
  local name log lines
  for name in "$@"; do
    log=$BT_LOGS/$(log_name "$name").log
    [ "$log" -nt "$BT_LOGS/.run.$BT_RUN" ] || continue
    lines=$(sed -n 's/^/    /p' "$log" | grep -E '^    (test result:|[0-9]+ (passed|failed)|=+ .*(passed|failed)|test .*FAILED)' \
      | grep -vE 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered') || continue
    say "$name:"
    printf '%s\n' "$lines" >&3
  done
}

# --- the machine --------------------------------------------------------------------------------------------------------------
have() { command -v "$1" >/dev/null 2>&1; }

# at_least HAVE WANT: compare dotted versions, with or without a leading v
at_least() { [ "$(printf '%s\n%s\n' "${2#v}" "${1#v}" | sort -V | head -1)" = "${2#v}" ]; }

is_debian_root() { [ "$(id -u)" = 0 ] && have apt-get; }

apt_install() { # packages of the machine's own suite
  dpkg -s "$@" >/dev/null 2>&1 && return 0
  is_debian_root || die "these Debian packages are needed: $*. Install them (or what your system calls them) and run this again."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The machine's own Debian mirror, read from its sources (deb822 or one-line), so that no host is written here.
debian_mirror() {
  { sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true
    sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null || true; } | head -1
}

# apt with a package list of its own: newer suites can be read, and the machine's own apt settings stay as they are.
newer_apt() {
  local dir=$BT_CACHE/apt; mkdir -p "$dir/lists/partial" "$dir/archives/partial"
  printf 'Types: deb\nURIs: %s\nSuites: bookworm trixie forky\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
    "$(debian_mirror)" > "$dir/newer.sources"
  "$1" -o Dir::Etc::sourcelist="$dir/newer.sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/lists" \
    -o Dir::Cache="$dir" -o APT::Sandbox::User=root "${@:2}"
}

# newer_deb SUITE PACKAGE DIR: unpack one package of a suite into DIR, without installing it.
newer_deb() {
  is_debian_root || die "building without an image registry works on Debian, as root (package $2 of $1 is needed)"
  local tmp; tmp=$(mktemp -d)
  # A list older than a day may name packages that the mirror no longer has.
  [ -n "$(find "$BT_CACHE/apt/updated" -mtime -1 2>/dev/null)" ] || { newer_apt apt-get update -qq; touch "$BT_CACHE/apt/updated"; }
  (cd "$tmp" && newer_apt apt-get download -qq "$2/$1" >/dev/null && dpkg -x ./*.deb "$3")
  rm -rf "$tmp"
}

# debootstrap_image IMAGE LABEL PACKAGES: a minimal Debian 12 with these (comma-separated) packages
debootstrap_image() {
  apt_install debootstrap
  local root=$BT_CACHE/root.$$; rm -rf "$root"
  debootstrap --variant=minbase --include="$3" bookworm "$root" "$(debian_mirror)"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | docker import --change "LABEL bt.recipe=$2" - "$1"
  rm -rf "$root"
}

# --- images -----------------------------------------------------------------------------------------------------------------
# Docker's classic builder, only where the newer one is not installed.
docker_build() {
  if docker buildx version >/dev/null 2>&1; then docker build "$@"; else DOCKER_BUILDKIT=0 docker build "$@"; fi
}

# recipe_of FUNCTION...: what an image is built by, in short; image_is IMAGE RECIPE: is it there, by that recipe?
recipe_of() { declare -f "$@" | sha256sum | cut -c1-12; }
image_is() { [ "$(docker image inspect -f '{{index .Config.Labels "bt.recipe"}}' "$1" 2>/dev/null)" = "$2" ]; }

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

# image_mode: sets BT_IMAGES to `public` where images can be pulled, else to `local`, unless it is set.
image_mode() {
  if [ -z "${BT_IMAGES:-}" ]; then
    if timeout 30 docker pull -q busybox:1.37 >/dev/null 2>&1; then BT_IMAGES=public; else BT_IMAGES=local; fi
  fi
  case $BT_IMAGES in public|local) ;; *) die "BT_IMAGES is '$BT_IMAGES'; it can be 'public' or 'local'" ;; esac
  export BT_IMAGES
}

# chart_values: in the array CHART_VALUES, what `helm install` needs beside the chart's own values
chart_values() {
  CHART_VALUES=()
  [ "$BT_IMAGES" = public ] || CHART_VALUES+=(-f "$ROOT/charts/values-local-images.yaml")
  [ "$CLUSTER" = bt-monitoring ] || CHART_VALUES+=(--set "kafka.external.port=$(host_port 9092)")
}

# old_elasticsearch_image: Elasticsearch 7.10.2, the oldest engine that is supported, which kind tests start beside the stack's
old_elasticsearch_image() {
  if [ "$BT_IMAGES" = public ]; then echo docker.elastic.co/elasticsearch/elasticsearch-oss:7.10.2; else echo bt-dev/elasticsearch:7.10.2; fi
}

# stack_images: those built here that the chart uses
stack_images() {
  [ "$BT_IMAGES" = public ] || sed -n 's/.*image: {repository: \([^,]*\), tag: "\{0,1\}\([^"}]*\)"\{0,1\}}.*/\1:\2/p' "$ROOT/charts/values-local-images.yaml"
}

# --- the cluster ------------------------------------------------------------------------------------------------------------
# host_port PORT: where a port of kind-config.yaml is on this machine; further clusters have them that much higher.
host_port() {
  case $CLUSTER in
    bt-monitoring) echo "$1" ;;
    bt-bench) echo $(($1 + 15000)) ;;
    *) echo $(($1 + 10000)) ;;
  esac
}

kc() { kubectl --context "kind-$CLUSTER" --namespace "$NAMESPACE" "$@"; }
hm() { helm --kube-context "kind-$CLUSTER" --namespace "$NAMESPACE" "$@"; }
