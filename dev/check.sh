#!/usr/bin/env bash
# Everything that needs no cluster: formatting, lints, unit tests, the generated CRDs, the chart, the Python SDK, the scripts.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
TEMP=$(mktemp -d); trap 'rm -rf "$TEMP"' EXIT

have cargo || die "the checks need Rust 1.89 or newer, and there is no 'cargo' on the PATH: https://rustup.rs"
if have apt-get && [ "$(id -u)" = 0 ]; then apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev >/dev/null; fi
have helm || "$ROOT/dev/tools.sh" helm
PYTHON=$("$ROOT/dev/python.sh")

generated_crds() {
  cargo run --quiet --locked -p bt-operator -- crds --out "$TEMP/crds"
  diff -ru crds "$TEMP/crds" || { echo "crds/ is not what the types say: just crds writes it anew" >&2; return 1; }
}

CRDS_THERE=(--api-versions monitoring.bt.dev/v1alpha1)
chart() {
  local values
  for values in values values-local-images; do
    helm lint --strict charts -f "charts/$values.yaml"
    helm template bt-monitoring charts -f "charts/$values.yaml" "${CRDS_THERE[@]}" > "$TEMP/$values.yaml"
  done
  helm template bt-monitoring charts -f dev/check-values.yaml "${CRDS_THERE[@]}" > "$TEMP/fields.yaml"
  grep -q '"enableServiceLinks":null' "$TEMP/fields.yaml" || { echo "the chart drops the nulls of a podTemplate" >&2; return 1; }
  helm template bt-monitoring charts "${CRDS_THERE[@]}" --set kafka.bootstrapServer=x > "$TEMP/misspelt" 2>&1 || true
  grep -q "additional properties 'bootstrapServer' not allowed" "$TEMP/misspelt" \
    || { echo "values.schema.json does not refuse a misspelt key:" >&2; cat "$TEMP/misspelt" >&2; return 1; }
}

python_checks() {
  local bin; bin=$(dirname "$PYTHON")
  cd producers/python
  "$bin/ruff" check --no-cache . ../../dev/sample-traffic ../../examples ../../bench/python
  "$bin/ruff" format --no-cache --check . ../../dev/sample-traffic ../../examples ../../bench/python
  "$bin/mypy" --cache-dir "$BT_CACHE/mypy"
  "$PYTHON" -m pytest -q -p no:cacheprovider -m 'not broker'
}

scripts() {
  if ! have shellcheck; then
    is_debian_root || { say "    shellcheck is not installed: the scripts were not checked"; return; }
    apt_install shellcheck
  fi
  shellcheck dev/*.sh justw .ci/run
}

step "scripts" scripts
step "formatting" cargo fmt --all --check
step "chart" chart
step "lints" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
step "unit tests" cargo test --workspace --exclude e2e --locked
step "generated crds" generated_crds
step "Python SDK, without a broker" python_checks

[ "$BT_RUN" != $$ ] || closing_lines "unit tests" "Python SDK, without a broker"
