#!/usr/bin/env bash
# Measures on a cluster of its own, which is deleted at the end. KEEP=1 keeps it, and the next run uses it as it is, with the
# operator of then. Arguments go to the bench: `bench.sh topics --topics 1000`, `bench.sh consumers`, without any all of it;
# `bench.sh --help` shows them.
export BT_CLUSTER=bt-bench
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# The user's own kubeconfig stays as it is.
export KUBECONFIG=$BT_CACHE/bt-bench.kubeconfig
BENCH=$CARGO_TARGET_DIR/release/bench ARGUMENTS=$*
created=

finish() {
  local code=$?
  if [ -n "$created" ]; then
    if [ "$code" != 0 ]; then
      "$ROOT/dev/state.sh" > "$BT_LOGS/state-of-bt-bench.txt" 2>&1 || true
      say "the state of the cluster, and the logs in it: $BT_LOGS/state-of-bt-bench.txt"
    fi
    if [ -n "${KEEP:-}" ]; then
      say "the cluster bt-bench is kept; on what is in it now:"
      say "    KUBECONFIG=$KUBECONFIG $BENCH --kafka $BENCH_KAFKA $ARGUMENTS"
    else step "cluster bt-bench: deleted" "$ROOT/dev/cluster.sh" delete; fi
  fi
  exit "$code"
}

build() {
  if have apt-get && [ "$(id -u)" = 0 ]; then apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev; fi
  cargo build --release --locked -p bench
}

install() {
  kc apply -f crds/
  kc wait --for=condition=Established --timeout=60s -f crds/
  hm upgrade --install "$RELEASE" charts/ "${CHART_VALUES[@]}" -f dev/bench-values.yaml --set "operator.image.tag=$BT_TAG"
}

have cargo || die "the bench needs Rust 1.89 or newer, and there is no 'cargo' on the PATH: https://rustup.rs"
step "bench: release build" build
# A misspelt argument is told before anything is made.
case " $* " in *" --help "*|*" -h "*) exec "$BENCH" "$@" ;; esac
"$BENCH" --check "$@"

trap finish EXIT
. "$ROOT/dev/prepare.sh"
BT_TAG=$("$ROOT/dev/images.sh" tag); export BT_TAG
"$ROOT/dev/images.sh"
BENCH_KAFKA=localhost:$(host_port 9092); export BENCH_KAFKA
created=yes
step "cluster $CLUSTER" "$ROOT/dev/cluster.sh" up
mapfile -t images < <(stack_images | grep kafka)
step "images into the cluster" "$ROOT/dev/cluster.sh" load "${images[@]}" "bt-monitoring/operator:$BT_TAG"
chart_values
step "operator and Kafka" install
"$ROOT/dev/ready.sh"
live_step "bench" "$BENCH" "$@"
