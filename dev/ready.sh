#!/usr/bin/env bash
# Wait until the release is ready: the stack, the operator, the topics, the consumers. Says what is wrong when it is not in time.
. "$(dirname "$0")/lib.sh"
image_mode
# Public images have to be pulled by the cluster first.
if [ "$BT_IMAGES" = public ]; then LIMIT=900s; else LIMIT=240s; fi

rolled_out() { kc rollout status "$1" --timeout="$LIMIT" || { "$ROOT/dev/state.sh" brief; return 1; }; }
resources() {
  local found; found=$(kc get "$1" -o name) || return 1
  [ -z "$found" ] || kc wait "$1" --all --for=condition=Ready --timeout=180s || { "$ROOT/dev/state.sh" brief; return 1; }
}

for workload in $(kc get statefulset,deployment -l "app.kubernetes.io/part-of=bt-monitoring" -o name); do
  step "ready: ${workload#*/}" rolled_out "$workload"
done
step "ready: topics" resources kafkatopics
step "ready: consumers" resources telemetryconsumers
