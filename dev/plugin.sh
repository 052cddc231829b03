#!/usr/bin/env bash
# kubectl-bt, the plugin of kubectl, into the folder of the tools (BT_CACHE/bin), and how to have it on the PATH.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

have cargo || die "the plugin is built here, and there is no 'cargo' on the PATH. Install Rust 1.89 or newer (https://rustup.rs) and run this again."
if is_debian_root; then apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev >/dev/null; fi
step "kubectl-bt: release build" cargo build --release --locked -p bt-operator --bin kubectl-bt
install -m 755 "$CARGO_TARGET_DIR/release/kubectl-bt" "$BT_CACHE/bin/kubectl-bt"
say "$BT_CACHE/bin/kubectl-bt is installed. With that folder on the PATH: kubectl bt status"
