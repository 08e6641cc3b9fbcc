#!/bin/bash
# package.sh: makes the VS Code extension's two packages in dist/ of the project:
#   flash-lsp-VERSION.vsix            thin: finds a server that is installed
#   flash-lsp-VERSION-PLATFORM.vsix   full: carries the wheel and its dependencies' wheels, and sets them up offline
# It takes the wheels flash_lsp-*.whl from dist/, one for each Python version to support, and makes one if there is none.
# package.sh thin FILE: makes the thin one alone.
set -euo pipefail
cd "$(dirname "$0")"
ROOT=$(cd ../.. && pwd)
DIST=$ROOT/dist
PYTHON=${PYTHON:-python3}

node --version >/dev/null 2>&1 || { echo "package.sh: Node.js 20 or newer is needed to build the extension" >&2; exit 1; }
[ node_modules/.package-lock.json -nt package-lock.json ] ||
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp "$ROOT/LICENSE" "$ROOT/NOTICE" .
npm run --silent build
package() { node_modules/.bin/vsce package --no-dependencies --allow-missing-repository --out "$@"; }

thin() {
  rm -rf wheels
  package "$1"
}

full() {
  compgen -G "$DIST/flash_lsp-*.whl" >/dev/null || make -C "$ROOT" wheel
  rm -rf wheels
  for wheel in "$DIST"/flash_lsp-*.whl; do
    version=$(basename "$wheel" | sed -E 's/^flash_lsp-[^-]+-(cp|py)3([0-9]+)-.*/3.\2/')
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --only-binary :all: --python-version "$version" \
      --dest wheels "$wheel" pip
  done
  package "$DIST/flash-lsp-$1-$2.vsix" --target "$2"
}

if [ "${1:-}" = thin ]; then
  thin "$2"
else
  VERSION=$(node -p 'require("./package.json").version')
  full "$VERSION" "$(node -p 'process.platform + "-" + process.arch')"
  thin "$DIST/flash-lsp-$VERSION.vsix"
fi
