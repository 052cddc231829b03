#!/usr/bin/env bash
# The kind cluster $BT_CLUSTER (default bt-monitoring):
#   cluster.sh up              create it, or start it where it is stopped; one that does not get healthy is made anew
#   cluster.sh config          the configuration it is created with (host ports as host_port says)
#   cluster.sh load IMAGE...   images of this machine's Docker into it
#   cluster.sh stop | delete
. "$(dirname "$0")/lib.sh"

NODE=$CLUSTER-control-plane

config() {
  local shift image=; shift=$(host_port 0)
  [ "${BT_IMAGES:-}" != local ] || image=bt-dev/node:$K8S_VERSION
  awk -v name="$CLUSTER" -v shift="$shift" -v image="$image" '
    /^name:/ { print "name: " name; next }
    match($0, /hostPort: [0-9]+/) { port = substr($0, RSTART + 10, RLENGTH - 10); sub(/hostPort: [0-9]+/, "hostPort: " port + shift) }
    { print }
    /role: control-plane/ && image { print "    image: " image }' "$ROOT/kind-config.yaml"
}

exists() { kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; }

healthy() { # within SECONDS
  local end=$((SECONDS + $1))
  until [ "$(kc get --raw /readyz 2>/dev/null)" = ok ] && kc wait node --all --for=condition=Ready --timeout=5s >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 1
  done
}

# After a stop, the pods' states are those of before until the kubelet has started each container anew.
restarted() { # within SECONDS
  local end=$((SECONDS + $1)) node; node=$(docker inspect -f '{{.State.StartedAt}}' "$NODE")
  until kc get pods --all-namespaces -o jsonpath='{range .items[*].status.containerStatuses[*]}{.state.running.startedAt}{"\n"}{end}' \
    | awk -v node="${node%%.*}" '$1 != "" && $1 < node { old = 1 } END { exit old }'; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 1
  done
}

ports_free() {
  local port busy=()
  for port in $(config | sed -n 's/.*hostPort: \([0-9]*\).*/\1/p'); do
    if (exec 4<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then busy+=("$port"); fi
  done
  [ ${#busy[@]} = 0 ] || die "these ports are in use on this machine: ${busy[*]}. Stop what listens there, or change hostPort in kind-config.yaml."
}

create() {
  local file; file=$(mktemp)
  ports_free
  config > "$file"
  kind create cluster --config "$file" --wait 180s
  rm -f "$file"
  healthy 60 || die "the cluster $CLUSTER was created and is not healthy; see 'docker logs $NODE'"
}

up() {
  image_mode
  if exists; then
    if docker start "$NODE" && kind export kubeconfig --name "$CLUSTER" && healthy 60 && restarted 60; then return; fi
    note "the cluster $CLUSTER is there and does not get healthy: made anew"
    delete
  fi
  create
}

# What is there already is left alone: kind can tell only where the node has crictl, so the ids are noted in the node.
load() {
  local image id missing=() noted
  noted=$(docker exec "$NODE" sh -c 'cat /kind/loaded 2>/dev/null || true')
  for image in "$@"; do
    id=$(docker image inspect -f '{{.Id}}' "$image")
    grep -qxF "$image $id" <<<"$noted" || missing+=("$image")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  kind load docker-image --name "$CLUSTER" "${missing[@]}"
  for image in "${missing[@]}"; do
    docker image inspect -f "$image {{.Id}}" "$image" | docker exec -i "$NODE" sh -c 'cat >> /kind/loaded'
  done
}

delete() { kind delete cluster --name "$CLUSTER"; }

case ${1:-} in
  up) up ;;
  config) image_mode; config ;;
  load) shift; load "$@" ;;
  stop) docker stop "$NODE" ;;
  delete) delete ;;
  *) die "usage: cluster.sh up|config|load IMAGE...|stop|delete" ;;
esac
