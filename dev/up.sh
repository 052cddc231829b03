#!/usr/bin/env bash
# Everything, from nothing: cluster, images, chart; then sample traffic and a count of what arrived where.
. "$(dirname "$0")/lib.sh"

started=$SECONDS
"$ROOT/dev/start.sh"
image_mode
live_step "sample traffic" "$ROOT/dev/produce.sh" --events "${EVENTS:-2000}"

say ""
"$ROOT/dev/status.sh"
cat <<S

bt-monitoring is up ($((SECONDS - started)) s). Next: ./justw status, ./justw produce --events 10000, ./justw logs; ./justw --list shows the rest.
S
