#!/usr/bin/env bash
# Everything: the checks, then the kind tests on a cluster of their own, made anew and deleted at the end; KEEP=1 keeps it.
export BT_CLUSTER=bt-e2e
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# The user's own kubeconfig stays as it is.
export KUBECONFIG=$BT_CACHE/bt-e2e.kubeconfig
created=

finish() {
  local code=$?
  abandoned
  if [ -n "$created" ]; then
    if [ "$code" != 0 ]; then
      "$ROOT/dev/state.sh" > "$BT_LOGS/state-of-bt-e2e.txt" 2>&1 || true
      say "the state of the cluster, and the logs in it: $BT_LOGS/state-of-bt-e2e.txt"
      "$ROOT/dev/state.sh" brief >&3 2>&1 || true
    fi
    if [ -n "${KEEP:-}" ]; then say "the cluster bt-e2e is kept: KUBECONFIG=$KUBECONFIG kubectl get pods"
    else step "cluster bt-e2e: deleted" "$ROOT/dev/cluster.sh" delete; fi
  fi
  say ""
  closing_lines "unit tests" "Python SDK, without a broker" "Python SDK, on the broker" "Rust SDK, on the broker" "Kafka administration, on the broker" "Lag, on the broker" "Consumers, on the broker" "Exactly once, on the broker" "Logs, exactly once, on the broker" "Replay, on the broker" "kind tests"
  if [ "$code" = 0 ]; then say "all tests passed ($((SECONDS / 60)) min $((SECONDS % 60)) s)"; else say "FAILED (exit code $code)"; fi
  exit "$code"
}

fresh_cluster() {
  # What an earlier run left, healthy or not.
  "$ROOT/dev/cluster.sh" delete
  "$ROOT/dev/cluster.sh" config > "$BT_CACHE/bt-e2e.kind-config.yaml"
  kind create cluster --config "$BT_CACHE/bt-e2e.kind-config.yaml" --wait 300s
}

broker_tests() {
  cd producers/python
  KAFKA_BOOTSTRAP=$E2E_KAFKA "$E2E_PYTHON" -m pytest -q -p no:cacheprovider -m broker
}

# With the features of the steps below, which then find them built.
broker_builds() {
  cargo test -p bt-kafka -p bench --features broker --locked --no-run
  cargo test -p bt-operator --features broker --lib --locked --no-run
  cargo test -p bt-consumers --features broker --test broker --test exactly_once --test logs_exact --test replay --locked --no-run
}

trap finish EXIT
"$ROOT/dev/check.sh"
. "$ROOT/dev/prepare.sh"

# What users type, with the values of this machine. A cluster that starts waits most of the time: what is to be in it is built meanwhile.
created=yes
later step "kind create cluster --config" fresh_cluster
"$ROOT/dev/images.sh"
"$ROOT/dev/example-images.sh"
step "kind tests: build" cargo test -p e2e --features kind --locked --no-run
# Built with the features of the checks, which have built all of it but the program itself.
step "kind tests: kubectl-bt" cargo build --workspace --exclude e2e --locked --bin kubectl-bt --tests
joined
# What starts in the cluster leaves time to build the tests that come first.
later step "tests on the broker: build" broker_builds
mapfile -t images < <(stack_images)
E2E_ELASTICSEARCH_IMAGE=$(old_elasticsearch_image)
# An image that can be pulled is pulled by the cluster.
[ "$BT_IMAGES" = public ] || images+=("$E2E_ELASTICSEARCH_IMAGE")
step "images into the cluster" "$ROOT/dev/cluster.sh" load "${images[@]}" "bt-monitoring/operator:$APP_VERSION" "bt-monitoring/consumers:$APP_VERSION" \
  "bt-monitoring/python-consumer:$APP_VERSION"
chart_values
step "kubectl apply -f crds/" kubectl apply -f crds/
step "helm install bt-monitoring charts/" helm install bt-monitoring charts/ "${CHART_VALUES[@]}"
"$ROOT/dev/ready.sh"
joined

E2E_KAFKA=localhost:$(host_port 9092) E2E_PROMETHEUS=http://localhost:$(host_port 9090) E2E_SEARCH=http://localhost:$(host_port 9200)
E2E_PYTHON=$("$ROOT/dev/python.sh") E2E_KUBECTL_BT=$CARGO_TARGET_DIR/debug/kubectl-bt
# A failure shows its reasons; where in the code they were wrapped helps nobody.
export E2E_KAFKA E2E_PROMETHEUS E2E_SEARCH E2E_PYTHON E2E_KUBECTL_BT E2E_ELASTICSEARCH_IMAGE RUST_LIB_BACKTRACE=0
step "Python SDK, on the broker" broker_tests
step "Rust SDK, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" cargo test -p bt-events --features broker --test broker --locked
step "Kafka administration, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" cargo test -p bt-kafka -p bench --features broker --locked
step "Lag, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" cargo test -p bt-operator --features broker --lib --locked broker_tests
step "Consumers, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" cargo test -p bt-consumers --features broker --test broker --locked
step "Exactly once, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" cargo test -p bt-consumers --features broker --test exactly_once --locked
# Engines that fail by a script are the test's own; what happens in one scenario is waiting most of the time.
step "Logs, exactly once, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" BT_CHAOS_KILLS=9 \
  cargo test -p bt-consumers --features broker --test logs_exact --locked -- --test-threads=6
step "Replay, on the broker" env KAFKA_BOOTSTRAP="$E2E_KAFKA" SEARCH_URL="$E2E_SEARCH" cargo test -p bt-consumers --features broker --test replay --locked
# Each test is waiting most of the time; those that need the cluster for themselves have it (e2e::scenario).
live_step "kind tests" cargo test -p e2e --features kind --locked -- --test-threads=3
