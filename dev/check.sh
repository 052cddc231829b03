#!/usr/bin/env bash
# Everything that needs no cluster: formatting, lints, unit tests, generated files, dependencies, the chart, the Python SDK, the scripts.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
TEMP=$(mktemp -d); trap 'rm -rf "$TEMP"' EXIT

have cargo || die "the checks need Rust 1.89 or newer, and there is no 'cargo' on the PATH: https://rustup.rs"
if have apt-get && [ "$(id -u)" = 0 ]; then apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev >/dev/null; fi
have helm || "$ROOT/dev/tools.sh" helm
PYTHON=$("$ROOT/dev/python.sh")

generated() {
  # With the tests, so that all but the program itself has been built for them.
  cargo build --workspace --exclude e2e --locked --bin bt-operator --tests
  local operator=$CARGO_TARGET_DIR/debug/bt-operator
  "$operator" crds --out "$TEMP/crds"
  diff -ru crds "$TEMP/crds" || { echo "crds/ is not what the types say: just crds writes it anew" >&2; return 1; }
  "$operator" reference --out "$TEMP/reference" --chart charts
  diff -ru docs/reference "$TEMP/reference" || { echo "docs/reference/ is not what the sources say: just reference writes it anew" >&2; return 1; }
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
  external_search
  helm template bt-monitoring charts "${CRDS_THERE[@]}" --set kafka.bootstrapServer=x > "$TEMP/misspelt" 2>&1 || true
  grep -q "additional properties 'bootstrapServer' not allowed" "$TEMP/misspelt" \
    || { echo "values.schema.json does not refuse a misspelt key:" >&2; cat "$TEMP/misspelt" >&2; return 1; }
}

# Who gets the credentials of an external search engine.
external_search() {
  local rendered=$TEMP/search.yaml wanted
  helm template bt-monitoring charts -f dev/check-search-values.yaml "${CRDS_THERE[@]}" -s templates/consumers.yaml > "$rendered"
  local login='"auth":{"passwordSecretRef":{"name":"of-search"},"username":"bt"}' tls='"tls":{"caSecretRef":{"name":"of-search"}}'
  for wanted in \
    "{$login,\"dataStream\":\"logs-bt-default\",\"template\":{\"retention\":\"30d\"},$tls}" \
    "{\"auth\":{\"apiKeySecretRef\":{\"name\":\"of-events\"}},\"dataStream\":\"events-bt-default\",$tls}" \
    "{$login,$tls}" "{$tls}" '{"urls":["https://other.example.org"]}'; do
    grep -qF "sink: {\"elasticsearch\":$wanted}" "$rendered" || { echo "no consumer has $wanted:" >&2; cat "$rendered" >&2; return 1; }
  done
  helm template bt-monitoring charts -f dev/check-search-values.yaml "${CRDS_THERE[@]}" > "$rendered"
  if grep -E '^  name: kibana$|name: Elasticsearch' "$rendered"; then
    echo "Kibana, or a data source of Grafana, without a login for the search engine" >&2; return 1
  fi
  refused "has two ways to log in" --set search.auth.apiKeySecretRef.name=x
  refused "search.auth is not complete" --set search.auth.username=null
  refused "consumers.bare.sink.elasticsearch.auth is not complete" --set consumers.bare.sink.elasticsearch.auth.username=bt
}

# WORDS VALUES…: the chart is not rendered with these, and says so.
refused() {
  local said=$TEMP/refused words=$1; shift
  helm template bt-monitoring charts -f dev/check-search-values.yaml "${CRDS_THERE[@]}" "$@" > "$said" 2>&1 || true
  grep -qF "$words" "$said" || { echo "the chart takes $*, or does not say \"$words\"" >&2; return 1; }
}

python_checks() {
  local bin; bin=$(dirname "$PYTHON")
  cd producers/python
  local code=(. ../../dev/sample-traffic ../../dev/readable ../../dev/lint-dashboards ../../dev/docs.py ../../examples ../../bench/python)
  "$bin/ruff" check --no-cache "${code[@]}"
  "$bin/ruff" format --no-cache --check "${code[@]}"
  "$bin/mypy" --cache-dir "$BT_CACHE/mypy"
  "$PYTHON" -m pytest -q -p no:cacheprovider -m 'not broker'
}

scripts() {
  if ! have shellcheck; then
    is_debian_root || { say "    shellcheck is not installed: the scripts were not checked"; return; }
    apt_install shellcheck
  fi
  shellcheck dev/*.sh .githooks/* justw .ci/run
}

step "scripts" scripts
step "documentation: links, and the drawing of the crates" "$PYTHON" dev/docs.py
step "formatting" cargo fmt --all --check
step "chart" chart
step "alerts and dashboards" "$ROOT/dev/check-monitoring.sh"
step "lints" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
step "unit tests" cargo test --workspace --exclude e2e --locked
step "generated crds and reference" generated
step "Python SDK, without a broker" python_checks
"$ROOT/dev/deps.sh" offline

[ "$BT_RUN" != $$ ] || closing_lines "unit tests" "Python SDK, without a broker"
