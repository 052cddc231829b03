#!/usr/bin/env bash
# Our own images, operator and consumers, tagged with the chart's appVersion and with a hash of what they are made of; one that
# has that hash already is not built again. `images.sh tag` prints the second tag.
. "$(dirname "$0")/lib.sh"

INPUTS=(Cargo.toml Cargo.lock Dockerfile dev/images.sh kafka operator consumers producers/rust)
cd "$ROOT"
# Once a run, so that all of it speaks of the same images whatever is edited meanwhile.
export BT_TAG=${BT_TAG:-$APP_VERSION-$(find "${INPUTS[@]}" -type f -not -path '*/tests/*' -not -name '.*' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)}

# With images from a registry, all of it happens in the Dockerfile.
by_dockerfile() { docker_build ${BT_AUDITABLE:+--build-arg AUDITABLE=yes} --target "$1" -t "bt-monitoring/$1:$BT_TAG" .; }

# Without one: built here, and put on the Debian base that was built here too.
build_binaries() {
  have cargo || die "without an image registry the binaries are built here, and there is no 'cargo' on the PATH. Install Rust 1.89 or newer (https://rustup.rs) and run this again."
  if have apt-get; then apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev; fi
  cargo ${BT_AUDITABLE:+auditable} build --release --locked -p bt-operator -p bt-consumers --bin bt-operator --bin bt-consumers
}

by_hand() { # operator|consumers
  local dir arguments='"run"'; dir=$(mktemp -d)
  [ "$1" = operator ] || arguments='"run", "--config", "/etc/bt-consumers/config.yaml"'
  cp "$CARGO_TARGET_DIR/release/bt-$1" "$dir"
  cat > "$dir/Dockerfile" <<D
FROM bt-dev/base
COPY bt-$1 /usr/local/bin/
RUN ! ldd /usr/local/bin/bt-$1 | grep 'not found'
USER 65532:65532
ENTRYPOINT ["bt-$1"]
CMD [$arguments]
D
  docker_build -t "bt-monitoring/$1:$BT_TAG" "$dir"; rm -rf "$dir"
}

[ "${1:-}" != tag ] || { echo "$BT_TAG"; exit; }

image_mode
built=
for image in operator consumers; do
  if ! image_exists "bt-monitoring/$image:$BT_TAG"; then
    if [ "$BT_IMAGES" = public ]; then
      step "image $image: Rust, in Docker" by_dockerfile "$image"
    else
      [ -n "$built" ] || step "operator and consumers: release build" build_binaries
      built=yes
      step "image $image" by_hand "$image"
    fi
  fi
  docker tag "bt-monitoring/$image:$BT_TAG" "bt-monitoring/$image:$APP_VERSION"
done
