#!/usr/bin/env bash
# consumers.sh start | stop: consumers to no pods, and back to as many as they had. What has not been read waits in Kafka.
. "$(dirname "$0")/lib.sh"

# The number of replicas before a stop is kept on the resource itself.
KEPT=monitoring.bt.dev/replicas-before-stop

replicas() { kc get telemetryconsumers -o jsonpath="{range .items[*]}{.metadata.name} {.spec.replicas} {.metadata.annotations.${KEPT//./\\.}}{\"\n\"}{end}"; }

stop() {
  local name now
  while read -r name now _; do
    [ "${now:-1}" != 0 ] || continue
    kc annotate telemetryconsumer "$name" --overwrite "$KEPT=${now:-1}"
    kc scale telemetryconsumer "$name" --replicas=0
  done < <(replicas)
  kc wait pod -l app.kubernetes.io/name=bt-consumer --for=delete --timeout=90s
}

start() {
  local name now kept
  while read -r name now kept; do
    kc annotate telemetryconsumer "$name" monitoring.bt.dev/paused- "$KEPT-" >/dev/null
    [ "$now" != 0 ] || kc scale telemetryconsumer "$name" --replicas="${kept:-1}"
  done < <(replicas)
  kc wait telemetryconsumers --all --for=condition=Ready --timeout=120s
}

case ${1:-} in
  start) step "consumers" start ;;
  stop) step "consumers to none" stop ;;
  *) die "usage: consumers.sh start|stop" ;;
esac
kc get telemetryconsumers
