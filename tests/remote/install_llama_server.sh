#!/bin/bash
# install_llama_server.sh CACHE: llama.cpp's own server into CACHE/llama-server, from the source package of the peers'
# llama-cpp-python, linked against the libraries that `flash-lsp bench peers --cpu` has built in CACHE/llama-venv.
# Idempotent; a few minutes. Without a web page: only its HTTP interface is wanted.
# Its multimodal part is compiled in, as the peers' build leaves it out.
set -euo pipefail
PEER=llama-cpp-python==0.3.36

cache=$(cd "$1" && pwd)
site=$("$cache/llama-venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
[ -f "$site/lib/libllama-common.so" ] || { echo "$cache/llama-venv is missing: run 'flash-lsp bench peers --cpu' first"; exit 1; }
[ -x "$cache/llama-server/llama-server" ] && exit 0

work=$cache/llama-server/source
mkdir -p "$work/objects"
cd "$work"
if [ ! -d vendor/llama.cpp ]; then
  "$cache/llama-venv/bin/python" -m pip download --quiet --no-deps --no-binary :all: --dest . "$PEER"
  tar -xzf llama_cpp_python-*.tar.gz --strip-components=1
fi
root=$work/vendor/llama.cpp

cat >objects/ui.h <<'UI'
#pragma once
#include <array>
#include <string>
struct llama_ui_asset { std::string name; const unsigned char * data; std::size_t size; std::string etag, type; };
inline const llama_ui_asset * llama_ui_find_asset(const std::string &) { return nullptr; }
inline bool llama_ui_use_gzip() { return false; }
inline const std::array<llama_ui_asset, 0> & llama_ui_get_assets() {
  static const std::array<llama_ui_asset, 0> none{};
  return none;
}
UI

flags=(-std=c++17 -O1 -w -pthread -DLLAMA_SUBPROCESS -DLLAMA_SHARED -DGGML_SHARED -Iobjects)
for folder in . include ggml/include common vendor vendor/cpp-httplib src tools/mtmd tools/server; do
  flags+=("-I$root/$folder")
done
mtmd=("$root"/tools/mtmd/{clip,mtmd,mtmd-audio,mtmd-helper,mtmd-helper-gen,mtmd-image}.cpp "$root"/tools/mtmd/models/*.cpp)
printf '%s\n' "$root"/tools/server/*.cpp "$root/vendor/cpp-httplib/httplib.cpp" "$root/vendor/hash/hash.cpp" "${mtmd[@]}" |
  xargs -P 2 -I{} sh -c 'out=objects/$(basename "$1").o; shift 0; [ -f "$out" ] || { "${CXX:-c++}" '"${flags[*]@Q}"' -c "$1" -o "$out.part" && mv "$out.part" "$out"; }' sh {}
"${CC:-cc}" -O1 -w -I"$root/vendor/hash" -c "$root/vendor/hash/sha256/sha256.c" -o objects/sha256.c.o
"${CXX:-c++}" -pthread objects/*.o -L"$site/lib" -Wl,-rpath,"$site/lib" -lllama-common -lllama -lggml -lggml-base -lggml-cpu \
  -o ../llama-server
cd .. && rm -rf source
