#!/usr/bin/env bash
# The dependencies: licences, sources and duplicates (deny.toml), and known vulnerabilities. `deps.sh offline` leaves out the last,
# whose outcome changes from day to day.
. "$(dirname "$0")/lib.sh"
. "$ROOT/dev/project-tools.sh"
cd "$ROOT"

# What the Python package brings with it.
python_licences() {
  python_tool pip-licenses pip-licenses==5.5.5
  local python names
  python=$("$ROOT/dev/python.sh")
  names=$("$python" - <<'P'
import importlib.metadata, re
wanted = importlib.metadata.requires("bt-events") or []
print(*(re.match(r"[\w.-]+", name)[0] for name in wanted if "extra ==" not in name))
P
)
  # shellcheck disable=SC2086 # one word each
  "$PROJECT_TOOLS/bin/pip-licenses" --python "$python" --from=mixed --with-system --packages $names \
    --allow-only="Apache Software License;Apache-2.0;Apache License 2.0;BSD License;BSD-2-Clause;BSD-3-Clause;MIT;MIT License"
}

licences() {
  cargo_deny --locked check --hide-inclusion-graph licenses bans sources
  python_licences
}

advisories() {
  if ! timeout 120 "$PROJECT_TOOLS/bin/cargo-deny" fetch db; then
    say "    the advisory database (github.com/rustsec/advisory-db) cannot be fetched: known vulnerabilities were not looked for"
    return
  fi
  cargo_deny --locked check --disable-fetch advisories
}

step "licences and sources of dependencies" licences
[ "${1:-}" = offline ] || step "known vulnerabilities of dependencies" advisories
