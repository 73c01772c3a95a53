#!/usr/bin/env bash
# The core's own tests, and the Python tests of its bindings, watched: free of reports, or this fails.
#
#   core_cpp/sanitize.sh asan|ubsan|tsan|asan-ubsan both suites under sanitizers of g++
#   core_cpp/sanitize.sh valgrind                   the core's tests under memcheck
#   CXX=clang++ core_cpp/sanitize.sh fuzz [SECONDS] libFuzzer on each target, 600 s by default
#
# Needs what README.md's test command installs, doctest, and the tool that is named.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?asan, ubsan, asan-ubsan, tsan, valgrind or fuzz}
build=build/$what

# Tests that call the core: its tables, kernels and readers.
bindings=(tests/test_alleles.py tests/test_hybrid_cells.py tests/test_similarity.py
  tests/test_similarity_kernels.py tests/test_indices.py tests/test_resampling.py
  tests/test_placement.py tests/test_f_statistics.py tests/test_store_alleles.py)
# Of these, those that use more than one thread.
threaded=(tests/test_similarity_kernels.py tests/test_resampling.py tests/test_placement.py)

# A copy of the package whose core is the watched one, first on the path.
copy_package() {
  rm -rf "$build/python"
  mkdir -p "$build/python"
  cp -R pyphylo "$build/python/pyphylo"
  rm -f "$build"/python/pyphylo/_core*.so
  cp "$build"/_core*.so "$build/python/pyphylo/"
}

# pytest with the sanitizer's library loaded before Python.
watched_pytest() {
  local library=$1
  shift
  LD_PRELOAD="$(g++ -print-file-name="$library") $(g++ -print-file-name=libstdc++.so)" \
    PYTHONPATH="$PWD/$build/python:$PWD/tests" PYTHONMALLOC=malloc \
    python "$(command -v pytest)" -n 0 -p no:cacheprovider "$@"
}

case $what in
  asan | ubsan | asan-ubsan | tsan)
    cmake --preset "$what" -DPYPHYLO_BUILD_PYTHON=ON \
      -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
    cmake --build --preset "$what"
    ctest --preset "$what"
    copy_package
    export OMP_NUM_THREADS=2 NUMBA_CACHE_DIR="$PWD/$build/numba"
    case $what in
      # Python itself leaves memory to the system when it ends.
      asan | asan-ubsan) ASAN_OPTIONS=detect_leaks=0 watched_pytest libasan.so "${bindings[@]}" "${@:2}" ;;
      ubsan) UBSAN_OPTIONS=print_stacktrace=1 watched_pytest libubsan.so "${bindings[@]}" "${@:2}" ;;
      tsan)
        TSAN_OPTIONS="suppressions=$PWD/core_cpp/tsan.supp ignore_noninstrumented_modules=1" \
          watched_pytest libtsan.so "${threaded[@]}" "${@:2}"
        ;;
    esac
    ;;
  valgrind)
    cmake --preset release
    cmake --build --preset release
    valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect \
      build/release/phylo_tests "${@:2}"
    ;;
  fuzz)
    cmake --preset fuzz
    cmake --build --preset fuzz
    for target in table_file tables texts; do
      mkdir -p "$build/corpus/$target"
      "$build/fuzz_$target" -max_total_time="${2:-600}" -timeout=60 -rss_limit_mb=2048 \
        -malloc_limit_mb=64 -print_final_stats=1 "$build/corpus/$target" "core_cpp/fuzz/corpus/$target"
    done
    ;;
  *)
    echo "unknown: $what" >&2
    exit 2
    ;;
esac
