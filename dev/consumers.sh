#!/usr/bin/env bash
# consumers.sh start | stop: consumers to no pods, and back to as many as they had. What has not been read waits in Kafka.
. "$(dirname "$0")/lib.sh"

# The number of replicas before a stop is kept on the resource itself.
KEPT=monitoring.bt.dev/replicas-before-stop
PAUSED=monitoring.bt.dev/paused

# NAME|REPLICAS|MAXREPLICAS|KEPT, the last two where there are any
consumers() {
  kc get telemetryconsumers \
    -o jsonpath="{range .items[*]}{.metadata.name}|{.spec.replicas}|{.spec.autoscaling.maxReplicas}|{.metadata.annotations.${KEPT//./\\.}}{\"\n\"}{end}"
}

stop() {
  local name now most
  while IFS='|' read -r name now most _; do
    if [ -n "$most" ]; then
      # Autoscaling sets the number, and would wake it: the operator has to keep its hands off before the pods go.
      kc annotate telemetryconsumer "$name" --overwrite "$PAUSED=true"
      kc wait telemetryconsumer "$name" --for=condition=Ready=Unknown --timeout=60s
      if [ -n "$(kc get deployment "$name" --ignore-not-found -o name)" ]; then kc scale deployment "$name" --replicas=0; fi
    elif [ "${now:-1}" != 0 ]; then
      kc annotate telemetryconsumer "$name" --overwrite "$KEPT=${now:-1}"
      kc scale telemetryconsumer "$name" --replicas=0
    fi
  done < <(consumers)
  kc wait pod -l app.kubernetes.io/name=bt-consumer --for=delete --timeout=90s
}

start() {
  local name now most kept
  while IFS='|' read -r name now most kept; do
    kc annotate telemetryconsumer "$name" "$PAUSED-" "$KEPT-" >/dev/null
    [ -n "$most" ] || [ "$now" != 0 ] || kc scale telemetryconsumer "$name" --replicas="${kept:-1}"
  done < <(consumers)
  kc wait telemetryconsumers --all --for=condition=Ready --timeout=120s
}

case ${1:-} in
  start) step "consumers" start ;;
  stop) step "consumers to none" stop ;;
  *) die "usage: consumers.sh start|stop" ;;
esac
kc get telemetryconsumers
