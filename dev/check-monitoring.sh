#!/usr/bin/env bash
# The chart's alerts, recording rules and dashboards, without a cluster: what is rendered is valid, every alert fires when it should
# and has a runbook, the dashboards pass the linters.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
TEMP=$(mktemp -d); trap 'rm -rf "$TEMP"' EXIT
have helm || "$ROOT/dev/tools.sh" helm
PYTHON=$("$ROOT/dev/python.sh")
GRAFANA_LINTER=github.com/grafana/dashboard-linter@latest

# promtool: the one on the PATH, else of the Debian package that the development stack's Prometheus is of, else of the public image.
get_promtool() {
  ! have promtool || return 0
  local id image
  if is_debian_root; then
    newer_deb forky promtool "$TEMP/promtool"
    cp "$TEMP/promtool/usr/bin/promtool" "$BT_CACHE/bin/"
  elif have docker; then
    image=prom/prometheus:$(sed -n '/repository: prom\/prometheus/{n;s/.*tag: *//p}' charts/values.yaml)
    id=$(docker create "$image") && docker cp "$id:/bin/promtool" "$BT_CACHE/bin/" && docker rm "$id" >/dev/null
  fi
  have promtool
}

rules() {
  local key
  for key in prometheus.yml rules.yml; do
    awk -v head="  $key: |" '$0 == head {on = 1; next} on && !/^    / {on = 0} on {print substr($0, 5)}' "$TEMP/config.yaml" > "$TEMP/$key"
  done
  cp dev/rules-test.yaml "$TEMP"
  promtool check config --lint=all --lint-fatal "$TEMP/prometheus.yml"
  promtool check rules --lint=all --lint-fatal "$TEMP/rules.yml"
  promtool test rules "$TEMP/rules-test.yaml"
}

# An alert without a unit test, or without a section that says what to do.
coverage() {
  local alert missing=
  while read -r alert; do
    grep -qx "## $alert" docs/runbooks.md || { echo "docs/runbooks.md has no section '## $alert'" >&2; missing=yes; }
    grep -q "alertname: $alert, .*exp_alerts: \[\]" dev/rules-test.yaml || { echo "dev/rules-test.yaml: $alert is nowhere expected not to fire" >&2; missing=yes; }
    grep -q "alertname: $alert\$" dev/rules-test.yaml || { echo "dev/rules-test.yaml: $alert is nowhere expected to fire" >&2; missing=yes; }
  done < <(sed -n 's/^ *- alert: //p' charts/rules/alerts.yaml)
  while read -r alert; do
    grep -q "alert: $alert\$" charts/rules/alerts.yaml || { echo "docs/runbooks.md has a section for $alert, which is no alert" >&2; missing=yes; }
  done < <(sed -n 's/^## \(Bt[A-Za-z]*\)$/\1/p' docs/runbooks.md)
  [ -z "$missing" ]
}

rendered() {
  helm template bt-monitoring charts --api-versions monitoring.bt.dev/v1alpha1 -s templates/stack/prometheus-config.yaml > "$TEMP/config.yaml"
  # Settings reach the rules; an alert can be left out; where the Prometheus Operator is, it gets them too.
  helm template bt-monitoring charts --api-versions monitoring.bt.dev/v1alpha1 --api-versions monitoring.coreos.com/v1/PrometheusRule \
    --set alerts.rules.BtEventsNotFresh.seconds=7,alerts.rules.BtDeadLetters=null,alerts.labels.team=a,alerts.runbookUrl=https://example.org/runbooks \
    -s templates/prometheusrule.yaml > "$TEMP/rule.yaml"
  local words
  for words in 'p99_rate5m > 7$' 'team: a$' 'the target is 7' 'runbook_url: https://example.org/runbooks#bteventsnotfresh$'; do
    grep -q -- "$words" "$TEMP/rule.yaml" || { echo "the rendered rules do not have '$words':" >&2; cat "$TEMP/rule.yaml" >&2; return 1; }
  done
  # shellcheck disable=SC2016 # the text itself
  if grep -n '${\|alert: BtDeadLetters' "$TEMP/rule.yaml" "$TEMP/config.yaml" | grep -v "config.yaml.*BtDeadLetters"; then
    echo "a setting that values.yaml does not have, or an alert that was set to null" >&2; return 1
  fi
}

dashboards() {
  "$PYTHON" dev/lint-dashboards charts/dashboards/*.json --queries "$TEMP/queries.yml"
  if have promtool; then promtool check rules "$TEMP/queries.yml"; fi
  if ! have dashboard-linter && have go && ! GOBIN=$BT_CACHE/bin go install "$GRAFANA_LINTER"; then
    say "    Grafana's dashboard-linter cannot be had here: dev/lint-dashboards alone has checked the dashboards"
    return
  fi
  have dashboard-linter || { say "    no Go: Grafana's dashboard-linter was not run"; return; }
  local dashboard
  for dashboard in charts/dashboards/*.json; do dashboard-linter lint --strict "$dashboard"; done
}

step "alerts: rendered" rendered
step "alerts: runbooks and tests" coverage
if get_promtool; then step "alerts: promtool" rules
else say "    promtool cannot be had here (Debian as root, Docker, or on the PATH): rules were not tested"; fi
step "dashboards" dashboards
