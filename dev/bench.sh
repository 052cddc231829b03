#!/usr/bin/env bash
# Measures on a cluster of its own, which is deleted at the end. KEEP=1 keeps it, and the next run uses it as it is, with the
# operator of then. Arguments go to the bench: `bench.sh topics --topics 1000`, `bench.sh consumers`, `bench.sh metrics` (which needs
# Kafka alone), `bench.sh logs` (Kafka and a search engine), without any all of it; `bench.sh --help` and `bench.sh logs --help` show them.
export BT_CLUSTER=bt-bench
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# The user's own kubeconfig stays as it is.
export KUBECONFIG=$BT_CACHE/bt-bench.kubeconfig
BENCH=$CARGO_TARGET_DIR/release/bench ARGUMENTS=$*
created=
# What is measured, all of it without a name.
sink=yes operator=yes search=yes
case " $* " in
  *" topics "*|*" consumers "*) sink='' search='' ;;
  *" metrics "*) operator='' search='' ;;
  *" logs "*) operator='' ;;
esac

finish() {
  local code=$?
  if [ -n "$created" ]; then
    if [ "$code" != 0 ]; then
      "$ROOT/dev/state.sh" > "$BT_LOGS/state-of-bt-bench.txt" 2>&1 || true
      say "the state of the cluster, and the logs in it: $BT_LOGS/state-of-bt-bench.txt"
    fi
    if [ -n "${KEEP:-}" ]; then
      say "the cluster bt-bench is kept; on what is in it now:"
      say "    KUBECONFIG=$KUBECONFIG${BENCH_PYTHON:+ BENCH_PYTHON=$BENCH_PYTHON}${BENCH_ENGINE:+ BENCH_ENGINE=$BENCH_ENGINE BENCH_RSYSLOG=$BENCH_RSYSLOG} $BENCH --kafka $BENCH_KAFKA $ARGUMENTS"
    else step "cluster bt-bench: deleted" "$ROOT/dev/cluster.sh" delete; fi
  fi
  exit "$code"
}

build() {
  if have apt-get && [ "$(id -u)" = 0 ]; then apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev; fi
  cargo build --release --locked -p bench ${sink:+-p bt-consumers}
}

install() {
  kc apply -f crds/
  kc wait --for=condition=Established --timeout=60s -f crds/
  local values=(-f dev/bench-values.yaml)
  if [ -n "$operator" ]; then values+=(--set "operator.image.tag=$BT_TAG"); else values+=(--set operator.replicas=0); fi
  if [ -n "$search" ]; then values+=(--set search.enabled=true); fi
  hm upgrade --install "$RELEASE" charts/ "${CHART_VALUES[@]}" "${values[@]}"
}

have cargo || die "the bench needs Rust 1.89 or newer, and there is no 'cargo' on the PATH: https://rustup.rs"
step "bench: release build" build
# A misspelt argument is told before anything is made.
case " $* " in *" --help "*|*" -h "*) exec "$BENCH" "$@" ;; esac
"$BENCH" --check "$@"

trap finish EXIT
. "$ROOT/dev/prepare.sh"
images=()
if [ -n "$operator" ]; then
  BT_TAG=$("$ROOT/dev/images.sh" tag); export BT_TAG
  "$ROOT/dev/images.sh"
  images+=("bt-monitoring/operator:$BT_TAG")
fi
if [ -n "$sink" ]; then BENCH_PYTHON=$("$ROOT/dev/python.sh"); export BENCH_PYTHON BENCH_JSON=${BENCH_JSON:-$BT_LOGS/bench-metrics.json}; fi
if [ -n "$search" ]; then
  BENCH_RSYSLOG=$("$ROOT/dev/rsyslog.sh"); BENCH_ENGINE=http://localhost:$(host_port 9200)
  export BENCH_RSYSLOG BENCH_ENGINE BENCH_LOGS_JSON=${BENCH_LOGS_JSON:-$BT_LOGS/bench-logs.json}
fi
BENCH_KAFKA=localhost:$(host_port 9092); export BENCH_KAFKA
created=yes
step "cluster $CLUSTER" "$ROOT/dev/cluster.sh" up
mapfile -t -O "${#images[@]}" images < <(stack_images | grep -E "kafka${search:+|search}")
[ ${#images[@]} = 0 ] || step "images into the cluster" "$ROOT/dev/cluster.sh" load "${images[@]}"
chart_values
step "${operator:+operator, }Kafka${search:+, search engine}" install
"$ROOT/dev/ready.sh"
live_step "bench" "$BENCH" "$@"
for json in "${BENCH_JSON:-}" "${BENCH_LOGS_JSON:-}"; do if [ "$json" -nt "$BT_LOGS/.run.$BT_RUN" ]; then say "    all figures: $json"; fi; done
