#!/usr/bin/env bash
# The core's own tests as a program for Windows, built and run on Linux.
# Debian: apt-get install doctest-dev g++-mingw-w64-x86-64-posix wine64; cmake and ninja.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build/windows

# doctest is one header; that of Debian lies among headers which are not for Windows.
mkdir -p "$build/doctest"
cp -r /usr/include/doctest "$build/doctest/"
cat > "$build/doctest/doctestConfig.cmake" <<'END'
add_library(doctest::doctest INTERFACE IMPORTED)
set_target_properties(doctest::doctest PROPERTIES
                      INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}")
END
cmake -S . -B "$build" -G Ninja -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=AMD64 \
  -DCMAKE_CXX_COMPILER=x86_64-w64-mingw32-g++-posix -DCMAKE_EXE_LINKER_FLAGS=-static \
  -Ddoctest_DIR="$build/doctest" -DPYPHYLO_BUILD_PYTHON=OFF -DPYPHYLO_BUILD_TESTS=ON -DPYPHYLO_WERROR=ON
cmake --build "$build"
# Wine's own folder holds a link to /, which whoever packs this one would follow.
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cd "$build" && WINEDEBUG=-all WINEPREFIX="$prefix" "${WINE:-/usr/lib/wine/wine64}" ./phylo_tests.exe
