#!/usr/bin/env bash
# kind, helm and kubectl: from PATH where new enough, else in the cache, by `go install` or as the public release.
. "$(dirname "$0")/lib.sh"

case $(uname -m) in x86_64) ARCH=amd64 ;; aarch64|arm64) ARCH=arm64 ;; *) die "no release of the tools for $(uname -m)" ;; esac
OS=$(uname -s | tr '[:upper:]' '[:lower:]')

fetch() { # URL FILE
  local tmp; tmp=$(mktemp)
  curl -fsSL --connect-timeout 10 --retry 2 -o "$tmp" "$1" && mv "$tmp" "$2" && return
  rm -f "$tmp"; return 1
}

# new_enough COMMAND WANT VERSION-ARGS...
new_enough() {
  local command=$1 want=$2 found; shift 2
  have "$command" || return 1
  found=$("$command" "$@" 2>/dev/null | grep -oE 'v[0-9]+\.[0-9]+(\.[0-9]+)?' | head -1) || return 1
  at_least "$found" "$want"
}

go_install() { # MODULE COMMAND
  have go || return 1
  CGO_ENABLED=0 GOBIN=$BT_CACHE/bin go install -ldflags '-s -w' "$1"
}

release() { # COMMAND: the project's own published binary
  local tmp
  case $1 in
    kind) fetch "https://github.com/kubernetes-sigs/kind/releases/download/$KIND_VERSION/kind-$OS-$ARCH" "$BT_CACHE/bin/kind" ;;
    kubectl) fetch "https://dl.k8s.io/release/$K8S_VERSION/bin/$OS/$ARCH/kubectl" "$BT_CACHE/bin/kubectl" ;;
    helm)
      tmp=$(mktemp -d)
      fetch "https://get.helm.sh/helm-$HELM_VERSION-$OS-$ARCH.tar.gz" "$tmp/helm.tgz" && tar -xzf "$tmp/helm.tgz" -C "$tmp" \
        && install "$tmp/$OS-$ARCH/helm" "$BT_CACHE/bin/helm"; rm -rf "$tmp" ;;
  esac
  [ -e "$BT_CACHE/bin/$1" ] && chmod +x "$BT_CACHE/bin/$1"
}

# tool COMMAND MODULE: where images can be pulled the release is quicker; elsewhere it cannot be reached.
tool() {
  image_mode
  if [ "$BT_IMAGES" = public ]; then release "$1" || go_install "$2"; else go_install "$2" || release "$1"; fi \
    || die "$1 could not be installed: no Go that can build it, and its release cannot be downloaded. Put $1 on the PATH and run this again."
}

wanted=${*:-kind helm kubectl}
for command in $wanted; do
  case $command in
    kind) new_enough kind 0.27.0 version || step "kind $KIND_VERSION" tool kind "sigs.k8s.io/kind@$KIND_VERSION" ;;
    helm) new_enough helm 3.14.0 version || step "helm $HELM_VERSION" tool helm "helm.sh/helm/v3/cmd/helm@$HELM_VERSION" ;;
    kubectl) # in local mode it is built with the node image
      new_enough kubectl 1.30.0 version --client && continue
      [ ! -x "$BT_CACHE/bin/$K8S_VERSION/kubectl" ] || { ln -sf "$K8S_VERSION/kubectl" "$BT_CACHE/bin/kubectl"; continue; }
      image_mode
      if [ "$BT_IMAGES" = public ]; then step "kubectl $K8S_VERSION" tool kubectl none; fi ;;
    *) die "no such tool here: $command" ;;
  esac
done
