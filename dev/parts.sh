#!/usr/bin/env bash
# parts.sh logs|restart [PART], parts.sh consumer-logs NAME. A part: kafka, elasticsearch, prometheus, operator…, or a consumer.
. "$(dirname "$0")/lib.sh"

# selector PART: the labels of its pods
selector() {
  case $1 in
    '') echo app.kubernetes.io/name ;;
    operator) echo app.kubernetes.io/name=bt-operator ;;
    consumers) echo app.kubernetes.io/name=bt-consumer ;;
    *)
      if kc get telemetryconsumer "$1" >/dev/null 2>&1; then echo "monitoring.bt.dev/consumer=$1"; else echo "app.kubernetes.io/name=$1"; fi ;;
  esac
}

some_pods() { # SELECTOR PART
  [ -n "$(kc get pods -l "$1" -o name)" ] || die "there are no pods of '${2:-bt-monitoring}'; './justw status' shows what there is"
}

logs() {
  local labels; labels=$(selector "$1"); some_pods "$labels" "$1"
  # RAW=1 shows them as they are.
  kc logs -f --prefix --all-containers --max-log-requests 50 --tail "${TAIL:-20}" -l "$labels" | { if [ -n "${RAW:-}" ]; then cat; else "$ROOT/dev/readable"; fi; }
}

restart() {
  local labels workloads; labels=$(selector "$1"); some_pods "$labels" "$1"
  workloads=$(kc get deployments,statefulsets -l "$labels" -o name)
  # shellcheck disable=SC2086 # one word each
  kc rollout restart $workloads
  for workload in $workloads; do step "ready: ${workload#*/}" kc rollout status "$workload" --timeout=240s; done
}

case ${1:-} in
  logs) logs "${2:-}" ;;
  restart) restart "${2:-}" ;;
  consumer-logs)
    kc get telemetryconsumer "${2:?name of a consumer}" >/dev/null || die "no consumer '$2'; there are: $(kc get telemetryconsumers -o jsonpath='{.items[*].metadata.name}')"
    logs "$2" ;;
  *) die "usage: parts.sh logs|restart [PART] | consumer-logs NAME" ;;
esac
