#!/usr/bin/env bash
# A Python environment in the cache with the SDK of this repository, its tests' tools and what the bench needs; prints its python.
# Made anew when the SDK's files change.
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
HASH=$({ find producers/python bench/python/requirements.txt dev/python.sh -type f -not -path '*/.*' -not -path '*/__pycache__/*' -not -path '*.egg-info/*' | LC_ALL=C sort | xargs sha256sum
  python3 --version 2>&1 || true; } | sha256sum | cut -c1-12)
VENV=$BT_CACHE/venv

make_venv() {
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3-venv; fi
  if ! "$VENV/bin/pip" --version >/dev/null 2>&1; then rm -rf "$VENV"; python3 -m venv "$VENV"; fi
  # Built in a copy, so that nothing is left in the source tree.
  local copy; copy=$(mktemp -d); cp -r producers/python "$copy/"
  "$VENV/bin/pip" install --upgrade "$copy/python[test]" ruff mypy -r bench/python/requirements.txt
  "$VENV/bin/pip" install --force-reinstall --no-deps "$copy/python"
  rm -rf "$copy"
  echo "$HASH" > "$VENV/.made-of"
}

[ "$(cat "$VENV/.made-of" 2>/dev/null)" = "$HASH" ] || step "Python SDK" make_venv
echo "$VENV/bin/python"
