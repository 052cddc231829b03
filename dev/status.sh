#!/usr/bin/env bash
# Topics, consumers, pods and endpoints, as tables; `status.sh endpoints`: these alone.
. "$(dirname "$0")/lib.sh"

# The services with a node port that kind-config.yaml maps to a port of this machine; ready when a pod behind the service is.
endpoints() {
  local service node port ready mapped address
  mapped=$("$ROOT/dev/cluster.sh" config | sed -n 's/.*hostPort: \([0-9]*\), containerPort: \([0-9]*\).*/\2 \1/p')
  printf '%-16s %-28s %s\n' ENDPOINT ADDRESS READY
  while read -r service node; do
    port=$(sed -n "s/^$node //p" <<<"$mapped")
    [ -n "$port" ] || continue
    ready=$(kc get endpointslices -l "kubernetes.io/service-name=$service" -o jsonpath='{.items[*].endpoints[*].conditions.ready}')
    case $ready in *true*) ready=yes ;; *) ready=no ;; esac
    address=http://localhost:$port
    [ "$node" != 30092 ] || address=localhost:$port
    printf '%-16s %-28s %s\n' "$service" "$address" "$ready"
  done < <(kc get services -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.spec.ports[*].nodePort}{"\n"}{end}' | awk 'NF > 1')
}

if ! docker inspect "$CLUSTER-control-plane" >/dev/null 2>&1; then die "there is no cluster $CLUSTER; './justw up' makes one"; fi
[ "$(docker inspect -f '{{.State.Running}}' "$CLUSTER-control-plane")" = true ] || die "the cluster $CLUSTER is stopped; './justw start' starts it"

if [ "${1:-}" != endpoints ]; then
  echo 'Topics'; kc get kafkatopics; echo
  echo 'Consumers'; kc get telemetryconsumers; echo
  echo 'Pods'; kc get pods -o custom-columns='NAME:.metadata.name,PART:.metadata.labels.app\.kubernetes\.io/name,PHASE:.status.phase,READY:.status.containerStatuses[*].ready,RESTARTS:.status.containerStatuses[*].restartCount,SINCE:.status.startTime'
  echo
fi
endpoints
