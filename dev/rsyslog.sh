#!/usr/bin/env bash
# rsyslog with imkafka and omelasticsearch, for the bench to compare with; prints the folder that it is in: `/` where the machine has it,
# else a folder in the cache, into which Debian's packages are unpacked: nothing is installed, and no daemon is started. Where that
# cannot be it prints `/` too, and the bench says what is missing.
. "$(dirname "$0")/lib.sh"

PACKAGES=(rsyslog rsyslog-kafka rsyslog-elasticsearch)
UNPACKED=$BT_CACHE/rsyslog

# Where it is called `set -e` does not count.
unpack() {
  local debs; debs=$(mktemp -d) && mkdir "$debs/partial" || return 1
  rm -rf "$UNPACKED" "$UNPACKED.new"
  # With what they need and the machine does not have.
  apt-get install -y -qq --no-install-recommends --download-only -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" \
    -o Dir::Cache::archives="$debs" "${PACKAGES[@]}" || { rm -rf "$debs"; return 1; }
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$UNPACKED.new" || { rm -rf "$debs" "$UNPACKED.new"; return 1; }; done
  rm -rf "$debs"
  mv "$UNPACKED.new" "$UNPACKED"
}

try() { unpack || { [ "$(id -u)" = 0 ] && apt-get update -qq && unpack; } || note "Debian's packages ${PACKAGES[*]} cannot be had"; }

if dpkg -s "${PACKAGES[@]}" >/dev/null 2>&1 || ! have apt-get; then echo /; exit; fi
[ -d "$UNPACKED" ] || step "rsyslog" try
if [ -d "$UNPACKED" ]; then echo "$UNPACKED"; else echo /; fi
