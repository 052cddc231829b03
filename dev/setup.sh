#!/usr/bin/env bash
# Tools, images and the cluster, with the images in it. Whatever is there already stays.
. "$(dirname "$0")/lib.sh"
. "$ROOT/dev/prepare.sh"

BT_TAG=$("$ROOT/dev/images.sh" tag); export BT_TAG
"$ROOT/dev/images.sh"
step "cluster $CLUSTER" "$ROOT/dev/cluster.sh" up
mapfile -t images < <(stack_images)
step "images into the cluster" "$ROOT/dev/cluster.sh" load "${images[@]}" "bt-monitoring/operator:$BT_TAG" "bt-monitoring/consumers:$BT_TAG"
