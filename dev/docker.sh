#!/usr/bin/env bash
# A running Docker daemon. Where none answers: the system's own service; else, on Debian as root, one started by hand.
. "$(dirname "$0")/lib.sh"

docker info >/dev/null 2>&1 && exit 0

wait_for_docker() { for _ in $(seq 60); do docker info >/dev/null 2>&1 && return; sleep 0.5; done; return 1; }

if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] && systemctl cat docker.service >/dev/null 2>&1; then
  systemctl start docker && wait_for_docker && exit 0
fi
is_debian_root || die "no Docker daemon answers ('docker info'). Start Docker, or install it, and run this again."

apt_install containerd runc iptables procps
# bookworm's own docker.io (20.10) asks for CAP_SYS_RESOURCE with --privileged, which a virtual machine may not have; trixie's does not.
if ! have dockerd; then
  newer_deb trixie docker.io "$BT_CACHE/docker"
  install "$BT_CACHE"/docker/usr/sbin/* /usr/sbin/
fi
have docker || { newer_deb trixie docker-cli "$BT_CACHE/docker"; install "$BT_CACHE/docker/usr/bin/docker" /usr/bin/; }

if ! pgrep -x containerd >/dev/null; then
  setsid nohup containerd >"$BT_CACHE/containerd.log" 2>&1 3>&- </dev/null &
  for _ in $(seq 40); do [ -S /run/containerd/containerd.sock ] && break; sleep 0.25; done
fi
rm -f /var/run/docker.pid
setsid nohup dockerd --containerd /run/containerd/containerd.sock >"$BT_CACHE/dockerd.log" 2>&1 3>&- </dev/null &
wait_for_docker && exit 0
tail -n 20 "$BT_CACHE/dockerd.log" >&2
die "the Docker daemon did not start; its log: $BT_CACHE/dockerd.log"
