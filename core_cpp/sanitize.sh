#!/usr/bin/env bash
# The core's own tests, and the Python tests of its bindings, watched: free of reports, or this fails.
#
#   core_cpp/sanitize.sh asan|ubsan|tsan|asan-ubsan  both suites under sanitizers of g++
#   core_cpp/sanitize.sh valgrind                    the core's tests under memcheck
#   core_cpp/sanitize.sh tidy                        clang-tidy on the core, bindings, tests and fuzz targets
#   core_cpp/sanitize.sh aarch64                     the core's tests and fuzz inputs on an emulated ARM
#   CXX=clang++ core_cpp/sanitize.sh fuzz [SECONDS [TARGET...]]
#                                                    libFuzzer on each target, 600 s by default
#
# Needs what README.md's test command installs, doctest, and the tool that is named; aarch64:
# aarch64-linux-gnu-g++ and qemu-aarch64.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?asan, ubsan, asan-ubsan, tsan, valgrind, tidy, aarch64 or fuzz}
build=build/$what

# Tests that call the core: every file of bindings has some of these.
bindings=(tests/test_alleles.py tests/test_store_alleles.py         # allele_table, table_builder
  tests/test_similarity.py tests/test_similarity_output.py          # similarity
  tests/test_similarity_kernels.py tests/test_hybrid_cells.py       # its kernels
  tests/test_ray_strips.py                                          # PackedComparison
  tests/test_torch_similarity.py::test_self_terms                   # self_terms
  tests/test_nearest.py                                             # gene_products
  tests/test_indices.py tests/test_resampling.py tests/test_f_statistics.py tests/test_placement.py
  tests/test_nj.py::test_threads_and_matrix_dtype_change_nothing)   # joined_rows
# Those that use more than one thread.
threaded=(tests/test_similarity_kernels.py tests/test_similarity.py tests/test_resampling.py
  tests/test_placement.py tests/test_ray_strips.py tests/test_nearest.py
  tests/test_indices.py::test_square_equals_the_oracle
  tests/test_indices.py::test_threads_do_not_change_bits tests/test_f_statistics.py
  tests/test_nj.py::test_threads_and_matrix_dtype_change_nothing)

# What is measured there: seconds and bytes, of which sanitizers take more.
measured=(tests/test_similarity_output.py::test_ctrl_c_stops_at_once_and_leaves_nothing
  tests/test_similarity_output.py::test_memory_is_what_is_stated)

# pytest with the sanitizer's library loaded before Python, on a copy of the package whose core is
# the watched one. The copy is this run's alone.
watched_pytest() {
  local library=$1 copy
  shift
  copy=$(mktemp -d "$PWD/$build/python.XXXXXX")
  trap "rm -rf '$copy'" EXIT
  cp -R pyphylo "$copy/pyphylo"
  rm -f "$copy"/pyphylo/_core*.so
  cp "$build"/_core*.so "$copy/pyphylo/"
  # Programs that tests start do not take the package of the folder they start in.
  LD_PRELOAD="$(g++ -print-file-name="$library") $(g++ -print-file-name=libstdc++.so)" \
    PYTHONPATH="$copy:$PWD/tests" PYTHONSAFEPATH=1 PYTHONMALLOC=malloc \
    python -c '
import sys
sys.path[:] = filter(None, sys.path)
import pytest
from pyphylo import _core
print("watched:", _core.__file__, flush=True)
assert _core.__file__.startswith(sys.argv[1] + "/pyphylo/"), "this is another core"
sys.exit(pytest.main(sys.argv[2:]))' "$copy" -q -n 0 -p no:cacheprovider "${measured[@]/#/--deselect=}" "$@"
}

case $what in
  asan | ubsan | asan-ubsan | tsan)
    cmake --preset "$what" -DPYPHYLO_BUILD_PYTHON=ON \
      -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
    cmake --build --preset "$what"
    ctest --preset "$what"
    export OMP_NUM_THREADS=2 NUMBA_CACHE_DIR="$PWD/$build/numba"
    case $what in
      # Python itself leaves memory to the system when it ends.
      asan | asan-ubsan) ASAN_OPTIONS=detect_leaks=0 watched_pytest libasan.so "${bindings[@]}" "${@:2}" ;;
      ubsan) UBSAN_OPTIONS=print_stacktrace=1 watched_pytest libubsan.so "${bindings[@]}" "${@:2}" ;;
      tsan)
        # What Python, NumPy and BLAS do among themselves is not this project's: only what was compiled
        # for it is watched. Nothing else is suppressed.
        TSAN_OPTIONS=ignore_noninstrumented_modules=1 watched_pytest libtsan.so "${threaded[@]}" "${@:2}"
        ;;
    esac
    ;;
  valgrind)
    cmake --preset release
    cmake --build --preset release
    valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect \
      build/release/phylo_tests "${@:2}"
    ;;
  tidy)
    cmake -S . -B "$build" -G Ninja -DPYPHYLO_BUILD_FUZZERS=ON \
      -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
    # Every file that is compiled: not the kernels of other processors.
    python -c 'import json, sys; [print(e["file"]) for e in json.load(open(sys.argv[1]))]' \
      "$build/compile_commands.json" |
      xargs -P "$(nproc)" -n 2 clang-tidy -p "$build" --quiet \
        --header-filter='core_cpp/(include|bindings|fuzz|tests)/' "${@:2}"
    ;;
  aarch64)
    export QEMU_LD_PREFIX=${QEMU_LD_PREFIX:-/usr/aarch64-linux-gnu}
    cmake --preset release -B "$build" -DPYPHYLO_BUILD_FUZZERS=ON -DCMAKE_SYSTEM_NAME=Linux \
      -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="${CXX:-aarch64-linux-gnu-g++}" \
      -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64
    cmake --build "$build"
    ctest --test-dir "$build" --output-on-failure "${@:2}"
    ;;
  fuzz)
    cmake --preset fuzz
    cmake --build --preset fuzz
    targets=("${@:3}")
    if [ "${#targets[@]}" = 0 ]; then
      targets=(table_file tables texts)
    fi
    for target in "${targets[@]}"; do
      mkdir -p "$build/corpus/$target"
      longest=0 # libFuzzer's own choice
      if [ "$target" = tables ]; then
        longest=1024 # rows of a few bytes each: longer inputs are slower, not odder
      fi
      "$build/fuzz_$target" -max_total_time="${2:-600}" -max_len="$longest" -timeout=60 \
        -rss_limit_mb=2048 -malloc_limit_mb=64 -print_final_stats=1 \
        "$build/corpus/$target" "core_cpp/fuzz/corpus/$target"
    done
    ;;
  *)
    echo "unknown: $what" >&2
    exit 2
    ;;
esac
