#!/usr/bin/env bash
# What a person needs to see when something did not get ready: `brief`, or with resources and logs.
. "$(dirname "$0")/lib.sh"

part() { printf '\n--- %s\n' "$1"; shift; "$@" 2>&1 || true; }

LINES_OF_LOG=50
[ "${1:-}" != brief ] || LINES_OF_LOG=5

not_ready() {
  local pod
  for pod in $(kc get pods -o jsonpath='{range .items[*]}{.metadata.name}{" "}{range .status.conditions[?(@.type=="Ready")]}{.status}{end}{"\n"}{end}' \
    | sed -n 's/ False$//p'); do
    printf '\n%s\n' "$pod"
    kc describe pod "$pod" | sed -n '/^Events:/,$p' | tail -n 8
    kc logs "$pod" --all-containers --tail="$LINES_OF_LOG" | cut -c1-400
  done
}

part topics kc get kafkatopics
part consumers kc get telemetryconsumers
part pods kc get pods --all-namespaces -o wide
part "pods that are not ready" not_ready
[ "${1:-}" != brief ] || exit 0

part events kc get events --sort-by=.lastTimestamp
part "topics in full" kc get kafkatopics -o yaml
part "consumers in full" kc get telemetryconsumers -o yaml
part "operator log" kc logs -l app.kubernetes.io/name=bt-operator --prefix --tail=300
part "operator log before its last restart" kc logs -l app.kubernetes.io/name=bt-operator --prefix --tail=100 --previous
part "consumer logs" kc logs -l app.kubernetes.io/name=bt-consumer --prefix --tail=150 --max-log-requests=50
part "Kafka log" kc logs statefulset/kafka --tail=100
part "search engine log" kc logs statefulset/elasticsearch --tail=50
