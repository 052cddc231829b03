#!/usr/bin/env bash
# A kind node image from package registries alone: Kubernetes, etcd and CoreDNS from Go modules, the system from Debian's
# packages. What is built already is kept: binaries in the cache, images in Docker.
. "$(dirname "$0")/lib.sh"

K8S=$K8S_VERSION ETCD=v3.6.6 COREDNS=v1.13.1 LOCAL_PATH=v0.0.30
IMAGE=bt-dev/node:$K8S
BIN=$BT_CACHE/bin/$K8S
COMPONENTS=(kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubeadm kubectl)
mkdir -p "$BIN"
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-trimpath

ln -sfn "$K8S/kubectl" "$BT_CACHE/bin/kubectl"
need_go() {
  have go || die "building Kubernetes needs Go 1.25 or newer, and there is no 'go' on the PATH. Install it (https://go.dev/doc/install) and run this again."
  at_least "$(go env GOVERSION | sed 's/^go//')" 1.25 || die "building Kubernetes needs Go 1.25 or newer; this is $(go env GOVERSION)"
  apt_install gcc libc6-dev
}

module_dir() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p'; }

# k8s.io/kubernetes replaces its staging modules by folders, so `go install` refuses it; each is published as a module of its
# own, v0 for v1.
kubernetes_workspace() { # DIR
  local src; src=$(module_dir "k8s.io/kubernetes@$K8S")
  { printf 'module node\n\n'; grep '^go ' "$src/go.mod"; printf '\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$K8S"
    sed -n "s#^\t\(k8s.io/[^ ]*\) => ./staging.*#\t\1 => \1 v0${K8S#v1}#p" "$src/go.mod"; echo ')'; } > "$1/go.mod"
  cp "$src/go.sum" "$1/go.sum"; chmod u+w "$1/go.sum"
  { printf '//go:build tools\n\npackage node\n\nimport (\n'; printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "${COMPONENTS[@]}"; echo ')'; } > "$1/tools.go"
  (cd "$1" && go mod tidy)
  [ -x "$BIN/pause" ] || gcc -Os -static -DVERSION=local -o "$BIN/pause" "$src/build/pause/linux/pause.c"
}

build_kubernetes() { # DIR COMPONENT
  local minor=${K8S#v1.} version=k8s.io/component-base/version client=k8s.io/client-go/pkg/version
  cd "$1" || exit
  go build -ldflags "-s -w -X $version.gitVersion=$K8S -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*} -X $client.gitVersion=$K8S" \
    -o "$BIN/$2.new" "k8s.io/kubernetes/cmd/$2"
  mv "$BIN/$2.new" "$BIN/$2"
}

# One command of a module, built in a module of our own, since `go install` refuses one that replaces others.
build_module_command() { # PACKAGE@VERSION BINARY
  local work; work=$(mktemp -d); cd "$work" || exit
  printf 'module node\n\ngo 1.25.0\n' > go.mod
  printf '//go:build tools\n\npackage node\n\nimport _ "%s"\n' "${1%@*}" > tools.go
  go get "$1"
  go mod tidy
  go build -ldflags '-s -w' -o "$BIN/$2" "${1%@*}"
  cd /; rm -rf "$work"
}

go_install() { GOBIN=$BIN go install -ldflags '-s -w' "$1"; }

# The node's system is bookworm: its systemd 252 still runs on cgroup v1, newer ones do not.
NODE_PACKAGES=systemd,dbus,iptables,nftables,iproute2,conntrack,ethtool,socat,mount,kmod,procps,curl,jq,runc
NODE_PACKAGES+=,containernetworking-plugins,ca-certificates,ebtables,ipset,libseccomp2,hostname

# An image that holds one binary, under the name that kubeadm expects.
component_image() { # IMAGE
  local name=${1##*/} base=scratch dir; name=${name%%:*}; dir=$(mktemp -d)
  [ "$name" != kube-proxy ] || base=bt-dev/node-base
  cp "$BIN/$name" "$dir"
  cat > "$dir/Dockerfile" <<D
FROM $base
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY $name /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/$name"]
D
  docker_build -q -t "$1" "$dir"; rm -rf "$dir"
}

# What kind's own node images carry for storage: the manifest, and the two images that it names.
storage_manifest() { # KIND-SOURCE
  local source=$1/pkg/build/nodeimage/const_storage.go provisioner helper
  provisioner=$(kind_constant "$source" storageProvisionerImage) helper=$(kind_constant "$source" storageHelperImage)
  # shellcheck disable=SC2016 # backquotes and plus signs of the Go source
  sed -n '/^const defaultStorageManifest = `/,/^`/p' "$source" | sed '1d; $d' \
    | sed -e 's#` + storageProvisionerImage + `#'"$provisioner#" -e 's#` + storageHelperImage + `#'"$helper#"
}
kind_constant() { sed -n "s/^const $2 = \"\(.*\)\"/\1/p" "$1"; }

# The node without Kubernetes' own images. kind's files (entrypoint, units) come out of kind's own Go module.
bare_node() { # KUBEADM-IMAGES...
  local kind_src dir image pause=; kind_src=$(module_dir "sigs.k8s.io/kind@$KIND_VERSION"); dir=$(mktemp -d)
  for image in "$@"; do [[ $image != */pause:* ]] || pause=$image; done
  newer_deb forky containerd "$dir/containerd" # 2.x; bookworm's 1.6 is too old for this kubelet
  cp "$BIN"/{kubeadm,kubelet,kubectl} "$dir"
  cp -r "$kind_src/images/base/files" "$dir/files"; chmod -R u+w "$dir/files"
  # One node: a fixed pod subnet and no routes. The file that kind would apply as its default CNI is a note.
  cat > "$dir/10-node.conflist" <<'J'
{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipMasq": true, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
    "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
  cat > "$dir/default-cni.yaml" <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: node-cni, namespace: kube-system}
data: {note: the node image carries its own CNI configuration}
Y
  cat > "$dir/Dockerfile" <<D
FROM bt-dev/node-base
COPY files/ /tmp/files/
RUN cp -a /tmp/files/usr/local/bin/. /usr/local/bin/ && mkdir -p /kind/bin /kind/manifests /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests \\
 && cp /tmp/files/kind/bin/* /kind/bin/ && chmod 755 /usr/local/bin/* /kind/bin /kind/bin/* && cp -a /tmp/files/etc/. /etc/ && rm -rf /tmp/files \\
 && cp /usr/lib/cni/bridge /usr/lib/cni/host-local /usr/lib/cni/loopback /usr/lib/cni/ptp /usr/lib/cni/portmap /opt/cni/bin/ \\
 && cd /lib/systemd/system && rm -f sysinit.target.wants/systemd-tmpfiles-setup.service multi-user.target.wants/* /etc/systemd/system/*.wants/* \\
    local-fs.target.wants/* sockets.target.wants/*udev* sockets.target.wants/*initctl* basic.target.wants/* \\
 && echo ReadKMsg=no >> /etc/systemd/journald.conf && ln -sf /lib/systemd/systemd /sbin/init && echo $K8S > /kind/version \\
 && sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/; s#sandbox_image = ".*"#sandbox_image = "$pause"#' /etc/containerd/config.toml
COPY containerd/usr/bin/ /usr/local/bin/
RUN ctr oci spec | jq '.hooks.createContainer = [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' > /etc/containerd/cri-base.json \\
 && systemctl enable kubelet.service containerd.service undo-mount-hacks.service && systemctl mask systemd-binfmt.service
COPY 10-node.conflist /etc/cni/net.d/
COPY default-cni.yaml default-storage.yaml /kind/manifests/
COPY kubeadm kubelet kubectl /usr/bin/
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
D
  storage_manifest "$kind_src" > "$dir/default-storage.yaml"
  docker_build -q -t bt-dev/node-bare "$dir"; rm -rf "$dir"
}

# Kubernetes' images go into the node's containerd, pinned, so that a cluster starts without pulling.
node_image() {
  local images image storage builder=bt-node-build
  mapfile -t images < <("$BIN/kubeadm" config images list --kubernetes-version "$K8S" 2>/dev/null)
  bare_node "${images[@]}"
  for image in "${images[@]}"; do component_image "$image"; done
  storage=$(module_dir "sigs.k8s.io/kind@$KIND_VERSION")/pkg/build/nodeimage/const_storage.go
  image=$(kind_constant "$storage" storageProvisionerImage); component_image "$image"; images+=("$image")
  image=$(kind_constant "$storage" storageHelperImage); docker tag bt-dev/node-base "$image"; images+=("$image")
  docker rm -f "$builder" >/dev/null 2>&1 || true
  docker run -d --name "$builder" --privileged --entrypoint sleep bt-dev/node-bare infinity
  docker save "${images[@]}" | docker exec -i "$builder" bash -ec '
    containerd >/tmp/containerd.log 2>&1 & until ctr version >/dev/null 2>&1; do sleep 0.3; done
    ctr -n k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack --digests - >/dev/null
    kill %1; wait %1 || true; rm -rf /run/containerd /tmp/*'
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' --change 'CMD []' --change "LABEL bt.recipe=$RECIPE" "$builder" "$IMAGE"
  docker rm -f "$builder"
  docker image rm "${images[@]}"
}

RECIPE=$(recipe_of bare_node component_image node_image storage_manifest)
! image_is "$IMAGE" "$RECIPE" || exit 0
need_go
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
missing=()
for component in "${COMPONENTS[@]}" pause; do [ -x "$BIN/$component" ] || missing+=("$component"); done
if [ ${#missing[@]} -gt 0 ]; then
  step "Kubernetes $K8S: modules" kubernetes_workspace "$work"
  for component in "${missing[@]}"; do [ -x "$BIN/$component" ] || step "Kubernetes: $component" build_kubernetes "$work" "$component"; done
fi
[ -x "$BIN/etcd" ] || step "etcd $ETCD" build_module_command "go.etcd.io/etcd/server/v3@$ETCD" etcd
[ -x "$BIN/coredns" ] || step "CoreDNS $COREDNS" go_install "github.com/coredns/coredns@$COREDNS"
[ -x "$BIN/local-path-provisioner" ] || step "local-path-provisioner $LOCAL_PATH" build_module_command "github.com/rancher/local-path-provisioner@$LOCAL_PATH" local-path-provisioner
image_exists bt-dev/node-base || step "node system (Debian 12)" debootstrap_image bt-dev/node-base 1 "$NODE_PACKAGES"
step "node image $IMAGE" node_image
