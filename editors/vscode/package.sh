#!/bin/bash
# package.sh: makes the VS Code extension's two packages in dist/ of the project:
#   flash-lsp-VERSION.vsix            thin: finds a server that is installed
#   flash-lsp-VERSION-PLATFORM.vsix   full: carries the wheel and its dependencies' wheels, and sets them up offline
# Takes the wheels flash_lsp-*.whl from dist/ (one for each Python version to support) and makes one if there is none.
set -euo pipefail
cd "$(dirname "$0")"
ROOT=$(cd ../.. && pwd)
PYTHON=${PYTHON:-python3}

node --version >/dev/null 2>&1 || { echo "package.sh: Node.js 20 or newer is needed to build the extension" >&2; exit 1; }
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp "$ROOT/LICENSE" "$ROOT/NOTICE" .
mkdir -p "$ROOT/dist"
VERSION=$(node -p 'require("./package.json").version')
PLATFORM=$(node -p 'process.platform + "-" + process.arch')
package() { npx vsce package --no-dependencies --allow-missing-repository --out "$@"; }

rm -rf wheels
package "$ROOT/dist/flash-lsp-$VERSION.vsix"

compgen -G "$ROOT/dist/flash_lsp-*.whl" >/dev/null ||
  "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$ROOT/dist" "$ROOT"
for wheel in "$ROOT"/dist/flash_lsp-*.whl; do
  version=$(basename "$wheel" | sed -E 's/^flash_lsp-[^-]+-(cp|py)3([0-9]+)-.*/3.\2/')
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --only-binary :all: --python-version "$version" \
    --dest wheels "$wheel" pip
done
package "$ROOT/dist/flash-lsp-$VERSION-$PLATFORM.vsix" --target "$PLATFORM"
