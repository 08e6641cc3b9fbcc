#!/bin/bash
# install_emacs.sh DIR: lsp-mode 10 and what it needs into DIR/emacs-lisp, for the system's Emacs (28.2 on Debian 12).
# Idempotent. Debian, root (for emacs-nox). The Lisp packages come from a suite that moves.
set -euo pipefail
. "$(dirname "$0")/debian_suite.sh"

SUITE=forky

if ! command -v emacs >/dev/null || ! command -v tmux >/dev/null; then
  apt-get -q update >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends emacs-nox tmux >/dev/null
fi
mkdir -p "$1/emacs-lisp"
cd "$1/emacs-lisp"
[ -f .installed ] && exit 0

debian_suite "$SUITE" "$PWD/apt"
# Only the Lisp, which is the same for every Emacs: no program of the other suite.
packages=$(apt-get -qq "${APT_OPTIONS[@]}" --print-uris --yes install elpa-lsp-mode | sed -nE "s/.* (elpa-[a-z0-9+.-]+)_.*/\1/p")
# shellcheck disable=SC2086
(cd apt && apt-get -qq "${APT_OPTIONS[@]}" download $packages)
for package in apt/*.deb; do dpkg-deb -x "$package" .; done
rm -rf apt
touch .installed
