#!/bin/bash
# install_bochs.sh CACHE [REPOSITORY]: into CACHE/bochs, Bochs (an emulator of whole x86 machines, AMX and AVX-VNNI among
# them) with bochs.patch, and Debian's Linux and boot loader for it. REPOSITORY: a clone of Bochs, default GitHub's.
# Idempotent; about 2 minutes of one core. Debian on x86-64, root (for the packages).
set -euo pipefail
COMMIT=783b58fd6d9bae598a07c59719122322fa0edce6

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/bochs"
cd "$1/bochs"
stamp="$COMMIT $(sha256sum <"$here/bochs.patch")"
[ "$(cat stamp 2>/dev/null)" = "$stamp" ] && exit 0

apt-get -q update >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
  ca-certificates genisoimage git isolinux patch syslinux-common >/dev/null
linux=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*-cloud-amd64\)$/\1/p')
rm -rf packages source
mkdir packages source
(cd packages && apt-get -qq -o APT::Sandbox::User=root download "$linux" && dpkg-deb -x "$linux"_*.deb .)
cp packages/boot/vmlinuz-* vmlinuz
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 .

repository=${2:-$PWD/clone}
[ -n "${2:-}" ] || [ -d clone ] || git clone -q --bare --filter=blob:none https://github.com/bochs-emu/Bochs clone
# Without a firmware that is not needed and larger than all the rest.
git -C "$repository" archive "$COMMIT" bochs ':(exclude)bochs/bios/OVMF' | tar -x -C source --strip-components=1
cp source/bios/BIOS-bochs-latest source/bios/VGABIOS-lgpl/VGABIOS-lgpl-latest.bin .
cd source
patch -s -p1 <"$here/bochs.patch"
# Bochs reads integers through pointers of other types.
flags="-O3 -fno-strict-aliasing -w"
CFLAGS=$flags CXXFLAGS=$flags nice ./configure --quiet --enable-all-optimizations --enable-x86-64 --enable-avx --enable-evex \
  --enable-amx --disable-docbook --disable-xpm --with-nogui >/dev/null
nice make bochs >/dev/null
strip -o ../bochs bochs
cd ..
rm -rf source packages clone
echo "$stamp" >stamp
