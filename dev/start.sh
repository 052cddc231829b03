#!/usr/bin/env bash
# The chart in the cluster, installed or upgraded, and everything in it ready. Sets up what is missing first.
. "$(dirname "$0")/lib.sh"

BT_TAG=$("$ROOT/dev/images.sh" tag); export BT_TAG
"$ROOT/dev/setup.sh"
image_mode
chart_values

install_crds() {
  kc apply -f "$ROOT/crds/"
  kc wait --for=condition=Established --timeout=60s -f "$ROOT/crds/"
}

step "custom resource definitions" install_crds
step "chart $RELEASE" hm upgrade --install "$RELEASE" "$ROOT/charts" "${CHART_VALUES[@]}" \
  --set "operator.image.tag=$BT_TAG" --set "consumerImage.tag=$BT_TAG"
"$ROOT/dev/ready.sh"
